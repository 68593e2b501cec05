package forward

import (
	"net"
	"os"
	"testing"
	"time"
)

func interfaceByName(name string) (*net.Interface, error) { return net.InterfaceByName(name) }

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// within repeats f until it works or the time is over.
func within(d time.Duration, f func() error) error {
	end := time.Now().Add(d)
	for {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

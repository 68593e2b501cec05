package wireguard

import (
	"testing"
	"time"
)

// gone waits until there is nothing left, for five seconds at most.
func gone(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatal("it is still there")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

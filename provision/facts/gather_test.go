package facts

import (
	"context"
	"encoding/json"
	"runtime"
	"testing"
	"time"
)

// The running system is the one machine that is always at hand.
func TestGatherThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no Linux kernel to ask on " + runtime.GOOS)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	f, err := Gatherer{}.Gather(ctx)
	if err != nil {
		t.Fatal(err)
	}
	lo, ok := f.LinkByName("lo")
	if !ok || lo.ARPHRD != arphrdLoopback {
		t.Errorf("no loopback link in %+v", f.Links)
	}
	if f.Machine.Kernel == "" || f.Machine.Arch == "" || f.Machine.OS == "" {
		t.Errorf("machine without kernel, architecture or system: %+v", f.Machine)
	}
	if _, err := json.Marshal(f); err != nil {
		t.Error(err)
	}
}

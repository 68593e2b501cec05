//go:build faultinject

package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/usbgadget"
)

// instrument makes a build for tests that dies or fails at a chosen effect:
// PROVISION_CRASH_AT=N kills the process with SIGKILL before the Nth effect (or
// after it, with PROVISION_CRASH_WHEN=after); PROVISION_FAIL_AT=N makes the Nth
// effect return an error. Effects are counted from 1, triggers included.
// PROVISION_CRASH_AT_WRITE=N kills it before the Nth single change to configfs (or after
// it): one effect on a USB gadget is many of them.
func instrument(e *provision.Engine) {
	in := &injector{after: os.Getenv("PROVISION_CRASH_WHEN") == "after"}
	in.crash, _ = strconv.Atoi(os.Getenv("PROVISION_CRASH_AT"))
	in.fail, _ = strconv.Atoi(os.Getenv("PROVISION_FAIL_AT"))
	writes := &injector{after: in.after}
	writes.crash, _ = strconv.Atoi(os.Getenv("PROVISION_CRASH_AT_WRITE"))
	for kind, r := range e.Resources {
		if g, ok := r.(*usbgadget.Resource); ok {
			r = &usbgadget.Resource{Kind: g.Kind, Files: faultyFiles{g.Files, writes}, Root: g.Root}
		}
		e.Resources[kind] = faultyResource{r, in}
	}
	for kind, a := range e.Actors {
		e.Actors[kind] = faultyActor{a, in}
	}
}

type injector struct {
	n, crash, fail int
	after          bool
}

func (in *injector) around(do func() error) error {
	in.n++
	n := in.n
	if n == in.fail {
		return fmt.Errorf("injected failure of effect %d", n)
	}
	if n == in.crash && !in.after {
		die()
	}
	err := do()
	if n == in.crash {
		die()
	}
	if errors.Is(err, provision.ErrPending) {
		in.n-- // nothing has been changed, and it will be asked again and again
	}
	return err
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// faultyResource hides Batcher on purpose: single effects are more places to die.
type faultyResource struct {
	provision.Resource
	in *injector
}

func (f faultyResource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	return f.in.around(func() error { return f.Resource.Set(ctx, name, have, want) })
}

func (f faultyResource) Class(attr string) provision.Class {
	if c, ok := f.Resource.(provision.Classifier); ok {
		return c.Class(attr)
	}
	return provision.Exact
}

// faultyFiles is the door to configfs; reading is no place to die.
type faultyFiles struct {
	usbgadget.Files
	in *injector
}

func (f faultyFiles) WriteValue(path, value string) error {
	return f.in.around(func() error { return f.Files.WriteValue(path, value) })
}

func (f faultyFiles) Mkdir(path string) error {
	return f.in.around(func() error { return f.Files.Mkdir(path) })
}

func (f faultyFiles) Rmdir(path string) error {
	return f.in.around(func() error { return f.Files.Rmdir(path) })
}

func (f faultyFiles) Symlink(target, path string) error {
	return f.in.around(func() error { return f.Files.Symlink(target, path) })
}

func (f faultyFiles) Unlink(path string) error {
	return f.in.around(func() error { return f.Files.Unlink(path) })
}

type faultyActor struct {
	provision.Actor
	in *injector
}

func (f faultyActor) Do(ctx context.Context, a provision.Action) error {
	return f.in.around(func() error { return f.Actor.Do(ctx, a) })
}

package usbgadget

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/resource/usbgadget/fakekernel"
)

// drawn returns a gadget drawn at random: its wants and holds. Nothing of it is left to
// the kernel's chance.
func drawn(rnd *rand.Rand, gadget string, udcs []string) provision.Desired {
	pick := func(values ...string) string { return values[rnd.IntN(len(values))] }
	mac := func() string { return fmt.Sprintf("02:%02x:00:00:00:%02x", rnd.IntN(3), rnd.IntN(3)) }
	ethernet := func(more ...string) provision.Attrs {
		a := provision.Attrs{"dev_addr": mac(), "host_addr": mac(), "qmult": pick("5", "10")}
		for _, m := range more {
			k, v, _ := strings.Cut(m, "=")
			a[k] = v
		}
		return a
	}
	pool := map[string]func() provision.Attrs{
		"ecm.usb0": func() provision.Attrs { return ethernet() },
		"ncm.usb0": func() provision.Attrs {
			a := ethernet("os_desc/interface.ncm/compatible_id=" + pick("WINNCM", "", "X"))
			if rnd.IntN(3) == 0 {
				a["os_desc/interface.ncm/Label/type"], a["os_desc/interface.ncm/Label/data"] = "1", pick("one", "another")
			}
			return a
		},
		"rndis.usb0": func() provision.Attrs {
			return ethernet("class="+pick("ef", "e0"), "os_desc/interface.rndis/sub_compatible_id="+pick("5162001", "1"))
		},
		"acm.GS0": func() provision.Attrs { return provision.Attrs{} },
		"mass_storage.0": func() provision.Attrs {
			a := provision.Attrs{"lun.0/file": pick("/images/one.img", "/images/two.img", ""), "lun.0/ro": pick("0", "1"), "stall": pick("0", "1")}
			if rnd.IntN(3) == 0 {
				a["lun.1/file"], a["lun.1/ro"] = pick("/images/one.img", ""), pick("0", "1")
			}
			return a
		},
		"hid.0": func() provision.Attrs {
			return provision.Attrs{"report_desc": pick("0501", "05010906", ""), "report_length": pick("4", "8"), "protocol": pick("0", "1")}
		},
	}
	var functions []string
	for _, f := range slices.Sorted(maps.Keys(pool)) {
		if rnd.IntN(2) == 0 {
			functions = append(functions, f)
		}
	}
	if len(functions) == 0 {
		functions = []string{"acm.GS0"}
	}
	var d provision.Desired
	d.Wants = append(d.Wants, Gadget(gadget, Device{IDVendor: 0x1d6b, IDProduct: uint16(rnd.IntN(3)), BCDUSB: 0x200, Product: pick("", "a", "b")}, ""))
	for _, f := range functions {
		d.Wants = append(d.Wants, Function(gadget, f, pool[f](), ""))
	}
	config := func(name string) {
		rnd.Shuffle(len(functions), func(i, j int) { functions[i], functions[j] = functions[j], functions[i] })
		d.Wants = append(d.Wants, Config(gadget, name, Configuration{MaxPower: uint16(100 + 50*rnd.IntN(3)), Attributes: 0x80, Name: pick("", "x"),
			Functions: functions[:1+rnd.IntN(len(functions))]}, ""))
	}
	config("c.1")
	// A HID function can be in one configuration only, or the kernel does not bind it.
	if functions = slices.DeleteFunc(slices.Clone(functions), func(f string) bool { return f == "hid.0" }); len(functions) > 0 && rnd.IntN(3) == 0 {
		config("d.2")
	}
	desc := OS{}
	if rnd.IntN(2) == 0 {
		desc = OS{Use: true, VendorCode: 0xcd, Signature: "MSFT100", Config: "c.1"}
	}
	d.Wants = append(d.Wants, OSDesc(gadget, desc, ""), UDC(gadget, pick(udcs...), ""))
	d.Holds = Holds(d.Wants)
	return d
}

// strangers makes a gadget as a shell script would, with plain names.
func strangers(t *testing.T, k Files, gadget, udc string) {
	g := Mount + "/usb_gadget/" + gadget
	for _, err := range []error{
		k.Mkdir(g), k.WriteValue(g+"/idVendor", "0x0525"), k.Mkdir(g + "/strings/0x409"), k.WriteValue(g+"/strings/0x409/product", "theirs"),
		k.Mkdir(g + "/functions/ncm.usb0"), k.WriteValue(g+"/functions/ncm.usb0/dev_addr", "06:00:00:00:00:01"), k.Mkdir(g + "/functions/acm.GS0"),
		k.Mkdir(g + "/configs/c.1"), k.WriteValue(g+"/configs/c.1/MaxPower", "120"),
		k.Symlink(g+"/functions/ncm.usb0", g+"/configs/c.1/ncm.usb0"), k.Symlink(g+"/functions/acm.GS0", g+"/configs/c.1/acm.GS0"),
		k.WriteValue(g+"/os_desc/use", "1"), k.WriteValue(g+"/os_desc/b_vendor_code", "0xcd"), k.WriteValue(g+"/os_desc/qw_sign", "MSFT100"),
		k.Symlink(g+"/configs/c.1", g+"/os_desc/c.1"), k.WriteValue(g+"/UDC", udc+"\n"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// seen is all that Get tells of every gadget, without names of network devices.
func seen(t *testing.T, f Files) enginetest.State {
	t.Helper()
	all, s := Resources(f, ""), enginetest.State{}
	get := func(r provision.Ref) {
		a, err := all[r.Kind].Get(context.Background(), r.Name)
		if err != nil {
			t.Fatal(err)
		}
		delete(a, AttrIfname)
		s[r] = a
	}
	names := func(path string) []string {
		list, err := dir{f, path}.entries(fs.ModeDir)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for _, g := range names(Mount + "/usb_gadget") {
		get(GadgetRef(g))
		get(OSDescRef(g))
		get(UDCRef(g))
		for _, n := range names(Mount + "/usb_gadget/" + g + "/functions") {
			get(FunctionRef(g, n))
		}
		for _, n := range names(Mount + "/usb_gadget/" + g + "/configs") {
			get(ConfigRef(g, n))
		}
	}
	return s
}

type trial struct {
	k     *fakekernel.Kernel
	files *enginetest.MemFiles
}

func (tr *trial) engine() *provision.Engine {
	return &provision.Engine{Resources: Resources(tr.k, ""), Store: tr.files.Store(), Clock: enginetest.NewClock()}
}

// crashAt makes the machine die before its nth change from now.
func (tr *trial) crashAt(n int) {
	tr.k.Before = func(string, string) {
		if n--; n < 0 {
			panic(died{})
		}
	}
}

// pairs is how many are drawn; PROVISION_SOAK asks for more.
func pairs() int {
	if n, err := strconv.Atoi(os.Getenv("PROVISION_SOAK")); err == nil {
		return n
	}
	return 8
}

type died struct{}

func (tr *trial) dies(f func()) (dead bool) {
	defer func() {
		tr.k.Before = nil
		switch p := recover().(type) {
		case nil:
		case died:
			dead = true
		default:
			panic(p)
		}
	}()
	f()
	return false
}

// From one drawn gadget to another, over what others had made: the goal is reached, in
// the order of interfaces that was asked for; nothing is touched twice; the way back
// ends where it began; and a failure or a crash at any effect, and a crash before any
// single write to configfs, ends at the start, from where the next run goes on.
func TestTrees(t *testing.T) {
	ctx := context.Background()
	opt := provision.ApplyOptions{}
	var counts struct{ pairs, writes, effects, crashes int }
	for n := range pairs() {
		rnd := rand.New(rand.NewPCG(11, uint64(n)))
		udcs := []string{"dummy_udc.0", "dummy_udc.1"}
		foreign := rnd.IntN(3)
		from, to := drawn(rnd, "t", udcs), drawn(rnd, "t", udcs)
		if rnd.IntN(8) == 0 {
			to = provision.Desired{}
		}
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("pair %d: %s", n, fmt.Sprintf(format, args...))
		}
		same := func(what string, got, want enginetest.State) {
			t.Helper()
			if d := got.Diff(want); d != "" {
				fail("%s (is / should be):\n%s", what, d)
			}
		}
		base := func() *trial {
			tr := &trial{fakekernel.New(udcs...), enginetest.NewMemFiles()}
			switch foreign {
			case 1: // a tree of the same name, unbound to leave the controllers free
				strangers(t, tr.k, "t", udcs[rnd.IntN(2)])
			case 2:
				tr.k.AddUDC("dummy_udc.2")
				strangers(t, tr.k, "g1", "dummy_udc.2")
			}
			return tr
		}
		begin := func() *trial {
			tr := base()
			if _, err := tr.engine().Apply(ctx, from, opt); err != nil {
				fail("first apply: %v", err)
			}
			return tr
		}
		apply := func(tr *trial, d provision.Desired) (provision.Result, error) { return tr.engine().Apply(ctx, d, opt) }

		rndAt := rand.New(rand.NewPCG(12, uint64(n)))
		rnd = rndAt
		first := base()
		virgin := seen(t, first.k)
		rnd = rand.New(rand.NewPCG(12, uint64(n)))
		tr := begin()
		start := seen(t, tr.k)
		unplugs := tr.k.Unplugs()
		inj := &enginetest.Injector{At: -1}
		before := tr.k.Changes()
		if _, err := inj.Wrap(tr.engine()).Apply(ctx, to, opt); err != nil {
			fail("second apply: %v", err)
		}
		writes, goal := tr.k.Changes()-before, seen(t, tr.k)
		for _, w := range to.Wants {
			for k, v := range w.Attrs {
				if got := goal[w.Ref][k]; got != v {
					fail("%s of %s is %q, want %q", k, w.Ref, got, v)
				}
			}
			if udc := w.Attrs[AttrUDC]; w.Kind == KindUDC {
				for i, functions := range tr.k.Interfaces(udc) {
					if c := to.Wants[slices.IndexFunc(to.Wants, func(w provision.Want) bool { return w.Kind == KindConfig })+i]; c.Attrs[AttrFunctions] != strings.Join(functions, " ") {
						// Configurations are shown in the order of their making.
						if !slices.ContainsFunc(to.Wants, func(w provision.Want) bool { return w.Attrs[AttrFunctions] == strings.Join(functions, " ") }) {
							fail("the host sees %v, want %s", functions, c.Attrs[AttrFunctions])
						}
					}
				}
			}
		}
		if got := tr.k.Unplugs() - unplugs; got > 1 {
			fail("the host saw %d unplugs for one change:\n%s", got, strings.Join(tr.k.Log()[before:], "\n"))
		}
		changes := tr.k.Changes()
		if res, err := apply(tr, to); err != nil || res.Writes != 0 || tr.k.Changes() != changes {
			fail("the second apply did %v: %v", res.Effects, err)
		}
		if inj.N > 0 {
			if _, err := tr.engine().Rollback(ctx); err != nil {
				fail("rollback: %v", err)
			}
			same("rolled back", seen(t, tr.k), start)
		}
		if res, err := tr.engine().Revert(ctx, false); err != nil || len(res.Foreign) > 0 {
			fail("revert left %v: %v", res.Foreign, err)
		}
		same("reverted", seen(t, tr.k), virgin)
		counts.pairs++
		counts.writes += writes
		counts.effects += inj.N

		for at := range inj.N {
			for _, f := range []enginetest.Fault{enginetest.FailBefore, enginetest.FailAfter, enginetest.CrashBefore, enginetest.CrashAfter, enginetest.StaleOnce, enginetest.BusyOnce} {
				rnd = rand.New(rand.NewPCG(12, uint64(n)))
				tr := begin()
				fault := &enginetest.Injector{At: at, Fault: f}
				var err error
				if enginetest.Crashes(func() { _, err = fault.Wrap(tr.engine()).Apply(ctx, to, opt) }) {
					_, err = tr.engine().Recover(ctx)
				}
				var failed *provision.FailedError
				if err != nil && !errors.As(err, &failed) {
					fail("%s effect %d: %v", f, at, err)
				}
				if now := seen(t, tr.k); now.Diff(goal) != "" {
					same(fmt.Sprint(f, " effect ", at), now, start)
				}
			}
		}
		// The first apply, which makes everything.
		rnd = rand.New(rand.NewPCG(12, uint64(n)))
		made := begin()
		rnd = rand.New(rand.NewPCG(12, uint64(n)))
		for at := range made.k.Changes() - base().k.Changes() {
			counts.crashes++
			rnd = rand.New(rand.NewPCG(12, uint64(n)))
			tr := base()
			tr.crashAt(at)
			if !tr.dies(func() { _, _ = apply(tr, from) }) {
				fail("write %d of the first apply: no crash", at)
			}
			if _, err := tr.engine().Recover(ctx); err != nil {
				fail("recovery after a crash before write %d of the first apply: %v", at, err)
			}
			same(fmt.Sprint("crash before write ", at, " of the first apply"), seen(t, tr.k), virgin)
		}
		for at := range writes {
			counts.crashes++
			rnd = rand.New(rand.NewPCG(12, uint64(n)))
			tr := begin()
			tr.crashAt(at)
			if !tr.dies(func() { _, _ = apply(tr, to) }) {
				fail("write %d of %d: no crash", at, writes)
			}
			// The way back may be cut short as well.
			tr.crashAt(rndAt.IntN(writes + 1))
			tr.dies(func() { _, _ = tr.engine().Recover(ctx) })
			if at%2 == 0 {
				if _, err := tr.engine().Recover(ctx); err != nil {
					fail("recovery after a crash before write %d: %v\n%s", at, err, strings.Join(tr.k.Log(), "\n"))
				}
				same(fmt.Sprint("crash before write ", at), seen(t, tr.k), start)
				continue
			}
			if _, err := apply(tr, to); err != nil {
				fail("apply after a crash before write %d: %v", at, err)
			}
			same(fmt.Sprint("next apply after a crash before write ", at), seen(t, tr.k), goal)
		}
	}
	t.Logf("%+v", counts)
}

package rule

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"golang.org/x/sys/unix"
)

func rules(t *testing.T, family int) string { return nstest.IP(t, fmt.Sprintf("-%d rule", family)) }

func equal(t *testing.T, got, want string) {
	t.Helper()
	clean := func(s string) string {
		var out []string
		for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
		return strings.Join(out, "\n")
	}
	if clean(got) != clean(want) {
		t.Errorf("got\n%s\nwant\n%s", clean(got), clean(want))
	}
}

func put(t *testing.T, w provision.Want) {
	t.Helper()
	have, err := Resource{}.Get(t.Context(), w.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Resource{}).Set(t.Context(), w.Name, have, w.Attrs); err != nil {
		t.Fatal(err)
	}
}

// ip(8) is the judge: the library forgets suppress_prefixlength for tables above 255.
func TestMadeAsWanted(t *testing.T) {
	nstest.Network(t)
	for _, family := range []int{4, 6} {
		put(t, Want(Spec{Key: Key{Family: family, Priority: 5209, Target: 254}, Suppress: ptr(0)}, ""))
		put(t, Want(Spec{Key: Key{Family: family, Priority: 5210, Not: true, Mark: 0x10000, Mask: 0xff0000, Target: 1000}}, ""))
		put(t, Want(Spec{Key: Key{Family: family, Priority: 5211, Target: 70000}, Suppress: ptr(16)}, ""))
	}
	for family, rest := range map[int]string{4: "\n32767: from all lookup default", 6: ""} {
		equal(t, rules(t, family), `
0: from all lookup local
5209: from all lookup main suppress_prefixlength 0 proto 158
5210: not from all fwmark 0x10000/0xff0000 lookup 1000 proto 158
5211: from all lookup 70000 suppress_prefixlength 16 proto 158
32766: from all lookup main`+rest)
	}
}

// Of rules with one priority the kernel deletes the first that the request fits.
func TestAlike(t *testing.T) {
	nstest.Network(t)
	from := Want(Spec{Key: Key{Priority: 100, From: pfx("192.0.2.0/24"), Target: 300}}, "")
	any := Want(Spec{Key: Key{Family: 4, Priority: 100, Target: 300}}, "")
	marked := Want(Spec{Key: Key{Family: 4, Priority: 100, Mark: 1, Mask: 1, Target: 300}, Suppress: ptr(0)}, "")
	put(t, from)
	put(t, marked)
	put(t, any)
	nstest.IP(t, "rule add pref 100 table 300 iif lo proto static")
	any.Attrs = nil
	put(t, any)
	equal(t, rules(t, 4), `
0: from all lookup local
100: from all iif lo lookup 300 proto static
100: from 192.0.2.0/24 lookup 300 proto 158
100: from all fwmark 0x1/0x1 lookup 300 suppress_prefixlength 0 proto 158
32766: from all lookup main
32767: from all lookup default`)
	// Several at once.
	any = Want(Spec{Key: Key{Family: 4, Priority: 100, Target: 300}}, "")
	put(t, any)
	var steps []provision.Step
	for _, w := range []provision.Want{any, marked, from} {
		have, err := Resource{}.Get(t.Context(), w.Name)
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, provision.Step{Name: w.Name, Have: have})
	}
	if err := (Resource{}).SetAll(t.Context(), steps); err != nil {
		t.Error(err)
	}
	equal(t, rules(t, 4), `
0: from all lookup local
100: from all iif lo lookup 300 proto static
32766: from all lookup main
32767: from all lookup default`)
}

// What somebody else made is seen, stays, and is seen again.
func TestForeign(t *testing.T) {
	for _, family := range []int{4, 6} {
		nstest.Network(t)
		nstest.IP(t, fmt.Sprintf("-%d rule add pref 5209 table main suppress_prefixlength 0 proto static", family))
		before := rules(t, family)
		w := Want(Spec{Key: Key{Family: family, Priority: 5209, Target: 254}, Suppress: ptr(0)}, "")
		have, err := Resource{}.Get(t.Context(), w.Name)
		if err != nil || have[AttrProto] != "4" || have[AttrSuppress] != "0" || (Resource{}).Wrote(have) {
			t.Fatalf("seen as %v, %v", have, err)
		}
		put(t, w)
		now, err := Resource{}.Get(t.Context(), w.Name)
		if err != nil || !(Resource{}).Wrote(now) {
			t.Fatalf("is %v, %v", now, err)
		}
		if got := rules(t, family); strings.Count(got, "suppress_prefixlength 0") != 2 {
			t.Errorf("both should be there:\n%s", got)
		}
		if err := (Resource{}).Set(t.Context(), w.Name, now, have); err != nil {
			t.Fatal(err)
		}
		equal(t, rules(t, family), before)
		if err := (Resource{}).Set(t.Context(), w.Name, have, nil); err == nil {
			t.Error("somebody else's rule can be deleted")
		}
		equal(t, rules(t, family), before)
	}
}

func TestPending(t *testing.T) {
	nstest.Network(t)
	w := Want(Spec{Key: Key{Family: 4, Priority: 100, Iif: "mac:02:00:00:00:00:99", Target: 300}}, "")
	if err := (Resource{}).Set(t.Context(), w.Name, nil, w.Attrs); !errors.Is(err, provision.ErrPending) {
		t.Errorf("got %v", err)
	}
	put(t, Want(Spec{Key: Key{Family: 4, Priority: 100, Iif: "name:usb0", Target: 300}}, ""))
	equal(t, nstest.IP(t, "rule show pref 100"), "100: from all iif usb0 [detached] lookup 300 proto 158")
}

// All or nothing.
func TestBatchUndone(t *testing.T) {
	nstest.Network(t)
	first := Want(Spec{Key: Key{Family: 4, Priority: 100, Target: 300}}, "")
	put(t, first)
	before := rules(t, 4)
	have, err := Resource{}.Get(t.Context(), first.Name)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel takes all of it, but of one name only one value can be read afterwards.
	bad := Want(Spec{Key: Key{Family: 4, Priority: 101, Target: 300}}, "")
	steps := []provision.Step{{Name: first.Name, Have: have, Want: provision.Attrs{AttrSuppress: "0"}}, {Name: "inet 99 ipproto 255 dport 5 table 7", Want: bad.Attrs}, {Name: bad.Name, Want: bad.Attrs}, {Name: bad.Name, Want: provision.Attrs{AttrSuppress: "8", AttrProto: ours}}}
	err = Resource{}.SetAll(t.Context(), steps)
	if err == nil {
		t.Fatal("one rule with two values was set")
	}
	equal(t, rules(t, 4), before)
}

func TestNames(t *testing.T) {
	for _, name := range []string{
		"inet 5210 not fwmark 0x10000/0xff0000 table 1000", "inet6 5208 table 254", "inet 5100 from 192.0.2.7/32 table 100",
		"inet 5000 to 198.51.100.0/24 iif name:usb0 unreachable", "inet 5000 fwmark 0x0/0xff table 1", "inet6 1 oif mac:08:00:27:aa:bb:cc goto 2",
		"inet 7 ipproto 17 sport 53 dport 1000-2000 uidrange 0-999 table 4294967295",
	} {
		if k, err := Parse(name); err != nil || k.String() != name {
			t.Errorf("%q reads as %q: %v", name, k, err)
		}
	}
	for _, name := range []string{
		"", "inet", "inet 0 table 1", "inet 5 table 0", "inet 5", "inet 5 fwmark 1/1 table 7", "inet 5 fwmark 0x100/0xff table 7", "inet 5 fwmark 0x1 table 7",
		"inet 5 from 192.0.2.1/24 table 7", "inet 5 from 0.0.0.0/0 table 7", "inet 5 from ::1/128 table 7", "inet 5 table 7 not", "inet 5 table 7 ", "inet 5 goto 5",
		"inet 5 to 192.0.2.0/24 from 192.0.2.0/24 table 7", "inet 5 dport 7-6 table 7", "inet 5 dport 7-7 table 7", "inet 5 nat table 7", "inet 5 unreachable table 7",
	} {
		if k, err := Parse(name); err == nil {
			t.Errorf("%q reads as %+v", name, k)
		}
	}
}

func TestRefusals(t *testing.T) {
	nstest.Network(t)
	for _, tc := range []struct {
		name string
		want provision.Attrs
		text string
	}{
		{"inet 5 table 7", provision.Attrs{"nat": "1"}, "unknown attribute"},
		{"inet 5 table 7", provision.Attrs{AttrSuppress: "33"}, "no length"},
		{"inet 5 table 7", provision.Attrs{AttrSuppress: "-1"}, "no length"},
		{"inet 5 unreachable", provision.Attrs{AttrSuppress: "0"}, "asks none"},
		{"inet 5 table 7", provision.Attrs{AttrProto: "256"}, "no protocol number"},
		{"inet 5 iif usb0 table 7", provision.Attrs{}, "device selector"},
	} {
		if err := (Resource{}).Set(t.Context(), tc.name, nil, tc.want); err == nil || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s %v: got %v, want it to say %q", tc.name, tc.want, err, tc.text)
		}
	}
	if got := rules(t, 4); strings.Contains(got, "158") {
		t.Errorf("something was made:\n%s", got)
	}
}

// FuzzDecode: whatever comes, decoding ends, and what is understood reads the same again.
func FuzzDecode(f *testing.F) {
	r := live{proto: Protocol, suppress: 0}
	r.ident = ident{family: unix.AF_INET, priority: 5210, not: true, from: pfx("192.0.2.0/24"), to: anywhere(unix.AF_INET), iif: "usb0", mark: 1, mask: 255, uid: UIDs{0, anyUID}, action: unix.FR_ACT_TO_TBL, target: 1000}
	f.Add(r.encode())
	r.family, r.from, r.to, r.oif, r.sport, r.ipproto, r.uid = unix.AF_INET6, pfx("2001:db8::/32"), anywhere(unix.AF_INET6), "eth0", Range{1, 9}, 6, UIDs{1, 2}
	f.Add(r.encode())
	f.Fuzz(func(t *testing.T, msg []byte) {
		r, ok, err := decode(msg)
		if err != nil || !ok || r.mask == 0 && r.mark != 0 || r.suppress < -1 {
			return
		}
		again, ok, err := decode(r.encode())
		if err != nil || !ok || again.family != r.family || again.priority != r.priority || again.from != r.from || again.to != r.to || again.mark != r.mark {
			t.Fatalf("%+v is read again as %+v: %v", r, again, err)
		}
	})
}

// The figures are for 10,000 rules.
func BenchmarkList(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("skipped: namespaces need root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with its goroutine, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		b.Skip("skipped: no namespace: ", err)
	}
	var names []string
	var steps []provision.Step
	for i := range 10_000 {
		w := Want(Spec{Key: Key{Priority: uint32(1000 + i), From: pfx(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256)), Target: uint32(1000 + i%1000)}}, "")
		names = append(names, w.Name)
		steps = append(steps, provision.Step{Name: w.Name, Want: w.Attrs})
	}
	start := time.Now()
	if err := (Resource{}).SetAll(b.Context(), steps); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d rules set in %v", len(steps), time.Since(start))
	b.ReportAllocs()
	for b.Loop() {
		all, err := Resource{}.List(b.Context(), names)
		if err != nil || len(all) != len(names) {
			b.Fatal(len(all), err)
		}
	}
	b.StopTimer()
	if out, err := exec.Command("ip", "-j", "rule").Output(); err == nil {
		if n := strings.Count(string(out), `"priority"`); n != len(names)+3 {
			b.Errorf("ip(8) sees %d rules", n)
		}
	}
}

package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
)

const largeEnv = "PROVISION_NFT_LARGE"

// prefixes are n prefixes of many lengths, none beside another one, as of a country's addresses.
func prefixes(n int) []Element {
	out := make([]Element, 0, n)
	at := uint32(1 << 24)
	for i := range n {
		size := uint32(1) << (2 + i*7%10)
		at = (at + size - 1) &^ (size - 1)
		out = append(out, Element{Key: binary.BigEndian.AppendUint32(nil, at), To: binary.BigEndian.AppendUint32(nil, at+size-1)})
		at += size * 2
	}
	return out
}

func largeTable(elems []Element) Table {
	return Table{Family: OwnFamily, Name: OwnTable, Sets: []Set{{Name: "country", Key: []string{TypeIPv4}, Interval: true, Elements: elems}},
		Chains: []Chain{{Name: "input", Base: filter("input", 0, "accept"), Rules: []Rule{rule(saddr4(), Expr{Lookup: &Lookup{Set: "country", Reg: 1}}, counter())}}}}
}

// A large set goes in with one transaction, all of it, and is read back, in 100 MB.
func TestLargeSet(t *testing.T) { inProcess(t, "TestLargeSet", 20000) }

// 150,000 prefixes, as the countries of a continent have: within 5 s and 100 MB.
func TestLargestSet(t *testing.T) {
	if os.Getenv("PROVISION_LAB_FULL") == "" && os.Getenv(largeEnv) == "" {
		t.Skip("skipped: 150,000 prefixes take 6 to 20 s, most of them nft's to list them: set PROVISION_LAB_FULL=1")
	}
	inProcess(t, "TestLargestSet", 150000)
}

// inProcess loads n prefixes in a process of the test's own, for its memory to be told.
func inProcess(t *testing.T, name string, n int) {
	if os.Getenv(largeEnv) != "" {
		load(t, n)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), largeEnv+"=1")
	out, err := cmd.CombinedOutput()
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Skipf("%s", out)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// load makes a table with n prefixes and returns what was set.
func load(t *testing.T, n int) (*Resource, provision.Attrs) {
	r := network(t)
	attrs := planned(t, r, prefixes(n))
	if len(attrs[AttrTable]) > 2000 {
		t.Errorf("the table's text has %d bytes", len(attrs[AttrTable]))
	}
	start, before := time.Now(), cpu(t)
	if err := r.Set(t.Context(), "inet provision", nil, attrs); err != nil {
		t.Fatal(err)
	}
	took := cpu(t) - before
	t.Logf("%d prefixes in one transaction, read back: %.2f s, %.2f s of CPU time, peak %d MB", n, time.Since(start).Seconds(), took.Seconds(), peak(t))
	if took > 5*time.Second { // of the processor's: other tests may run beside this one
		t.Errorf("it took %s", took)
	}
	if mb := peak(t); mb > 100 {
		t.Errorf("the peak was %d MB", mb)
	}
	start = time.Now()
	if got, err := r.Get(t.Context(), "inet provision"); err != nil || got[AttrTable] != attrs[AttrTable] {
		t.Error("it is not what was set", err)
	}
	t.Logf("looked at again: %s", time.Since(start))
	if c := strings.Count(tool(t, "", "-n", "list", "table", "inet", "provision"), "/"); c != n {
		t.Errorf("nft counts %d prefixes", c)
	}
	return r, attrs
}

// planned is the planner's part: it has the elements, keeps them and drops them.
func planned(t *testing.T, r *Resource, elems []Element) provision.Attrs {
	t.Helper()
	table := largeTable(elems)
	if err := r.Blobs.Save(table); err != nil {
		t.Fatal(err)
	}
	return Own(table, "").Attrs
}

// Of a large set only the difference travels; what somebody else took from it is found and put
// back; and the way back is there though nobody planned it.
func TestLargeSetChanges(t *testing.T) {
	const n = 5000
	r, attrs := load(t, n)
	elems := prefixes(n)
	at := binary.BigEndian.Uint32(elems[n-1].To) + 100
	elems = append(append(append([]Element{}, elems[:2000]...), elems[2001:]...), Element{Key: binary.BigEndian.AppendUint32(nil, at)})
	now := mustDump(t, "inet", "provision")
	if b, err := diff(now.sorted(), Canonical(largeTable(elems))); err != nil || b.batch.Len() != 2 || b.batch.Size() > 400 {
		t.Errorf("%d messages of %d bytes: %v", b.batch.Len(), b.batch.Size(), err)
	}
	changed := planned(t, r, elems)
	if err := r.Set(t.Context(), "inet provision", attrs, changed); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(t.Context(), "inet provision", attrs, changed); !errors.Is(err, provision.ErrStale) {
		t.Errorf("a stale have: %v", err)
	}
	// Somebody takes one out and nobody has the blob of what is there then: Set keeps it.
	tool(t, "", "delete", "element", "inet", "provision", "country", "{ 1.0.0.0/30 }")
	theirs, err := r.Get(t.Context(), "inet provision")
	if err != nil || theirs[AttrTable] == changed[AttrTable] {
		t.Fatal("not seen", err)
	}
	if err := r.Set(t.Context(), "inet provision", theirs, changed); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(t.Context(), "inet provision", changed, theirs); err != nil {
		t.Errorf("back: %v", err)
	}
	if err := r.Set(t.Context(), "inet provision", theirs, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(t.Context(), "inet provision", nil, theirs); err != nil {
		t.Errorf("made anew: %v", err)
	}
}

func peak(t testing.TB) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb >> 10
}

func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

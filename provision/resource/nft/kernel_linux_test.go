package nft

import (
	"context"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/nstest"
)

// tool runs nft(8), the judge.
func tool(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	out, err := tryTool(t, stdin, args...)
	if err != nil {
		t.Fatalf("nft %s: %v: %s", args, err, out)
	}
	return out
}

func tryTool(t testing.TB, stdin string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("skipped: no nft(8); install nftables")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// network gives the test an empty network namespace whose kernel has nf_tables.
func network(t *testing.T) *Resource {
	t.Helper()
	nstest.Network(t)
	if _, err := DumpAll(t.Context()); err != nil {
		t.Skipf("skipped: %v", err)
	}
	root, err := host.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &Resource{Blobs: Blobs{Files: root, Dir: t.TempDir() + "/blobs"}}
}

// bring sets a table and fails the test if it cannot be.
func bring(t testing.TB, r *Resource, name string, want provision.Attrs) {
	t.Helper()
	if err := try(r, name, want); err != nil {
		t.Fatal(err)
	}
}

func try(r *Resource, name string, want provision.Attrs) error {
	have, err := r.Get(context.Background(), name)
	if err != nil {
		return err
	}
	return r.Set(context.Background(), name, have, want)
}

func mustDump(t testing.TB, family, name string) Table {
	t.Helper()
	table, err := Dump(context.Background(), family, name)
	if err != nil || table == nil {
		t.Fatal(table, err)
	}
	return *table
}

// What nft makes is read whole, made again by us from what was read, and then is the same to
// nft and to us.
func TestWhatNftMakes(t *testing.T) {
	r := network(t)
	text, err := os.ReadFile("testdata/everything.nft")
	if err != nil {
		t.Fatal(err)
	}
	tool(t, string(text), "-f", "-")
	listed := tool(t, "", "-s", "list", "table", "inet", "provision")
	was := mustDump(t, "inet", "provision")
	for _, c := range was.Chains {
		for i, rule := range c.Rules {
			for _, e := range rule.Exprs {
				if e.Unknown != nil {
					t.Errorf("rule %d of chain %s: cannot read %s", i, c.Name, e.Unknown.Name)
				}
			}
		}
	}
	attr := Format(was)
	read, err := Parse(attr)
	if err != nil {
		t.Fatal(err)
	}
	if again := Format(read); again != attr {
		t.Errorf("read and written again: %s", firstDifference(again, attr))
	}
	bring(t, r, "inet provision", nil)
	if out := tool(t, "", "list", "ruleset"); out != "" {
		t.Errorf("left over:\n%s", out)
	}
	bring(t, r, "inet provision", provision.Attrs{AttrTable: attr})
	// nft lists sets and chains in the order in which they were made.
	if got := tool(t, "", "-s", "list", "table", "inet", "provision"); blocks(got) != blocks(listed) {
		t.Errorf("made by us nft lists\n%s\nmade by nft\n%s", blocks(got), blocks(listed))
	}
	now := mustDump(t, "inet", "provision")
	if !reflect.DeepEqual(Format(now), attr) {
		t.Errorf("%s", firstDifference(Format(now), attr))
	}
}

// blocks sorts a listing's sets and chains, and the elements of unordered sets.
func blocks(listing string) string {
	parts := strings.Split(listing, "\n\n")
	lead, rest, _ := strings.Cut(parts[0], "\n")
	parts[0] = rest
	last := len(parts) - 1
	parts[last] = strings.TrimSuffix(parts[last], "\n}\n")
	sortStrings(parts)
	return lead + "\n" + strings.Join(parts, "\n\n")
}

func sortStrings(s []string) {
	for i := range s {
		for j := i; j > 0 && s[j] < s[j-1]; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
}

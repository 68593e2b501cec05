package watching

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/nft"
)

// Our table is flushed, changed and deleted by others: put back at once, and said who it was. A
// foreign table is nobody's business.
func TestKeepsOurTable(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("skipped: no nft(8) to judge by; install nftables")
	}
	ns := nstest.New(t)
	drop := nft.Rule{Exprs: []nft.Expr{{Verdict: &nft.Verdict{Kind: "drop"}}}, Comment: "nothing passes"}
	table := nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable, Chains: []nft.Chain{
		{Name: "forward", Base: &nft.Base{Type: "filter", Hook: "forward", Priority: 0, Policy: "drop"}, Rules: []nft.Rule{drop}},
	}}
	c := childConfig{Memory: filepath.Join(t.TempDir(), "watch.json"), Keep: []provision.Want{nft.Own(table, "kill switch")}}
	p := start(t, ns, c)
	kept := func(l line) bool { return l.Msg == "repaired" && l.Job == "keep" }
	_, at := p.find(0, "the table at the start", kept)
	whole := ns.Sh("nft list table inet provision")
	if !strings.Contains(whole, "nothing passes") {
		t.Fatalf("the table is %s", whole)
	}
	for _, cmd := range []string{"flush table inet provision", "add rule inet provision forward accept", "delete table inet provision"} {
		ns.Sh("nft " + cmd)
		var l line
		l, at = p.find(at, cmd, kept)
		if got := ns.Sh("nft list table inet provision"); got != whole {
			t.Errorf("%s: it is\n%s\nwas\n%s", cmd, got, whole)
		}
		if !strings.HasPrefix(l.By, "nft, process ") {
			t.Errorf("%s: done by %q", cmd, l.By)
		}
		t.Logf("%s: %v after the event, by %s", cmd, l.After, l.By)
	}
	before := p.status().Status
	ns.Sh("nft add table ip other")
	ns.Sh("nft delete table ip other")
	if after := p.status().Status; after.Events != before.Events {
		t.Errorf("a foreign table is an event")
	}
}

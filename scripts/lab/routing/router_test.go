//go:build lab && linux

package routing

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// router is a policy with rules of both sorts, tables and policy rules.
const router = `
  zones:
    inside: {interfaces: [usb0]}
    outside: {interfaces: [wlan0], masquerade: true}
  groups:
    banned: [192.0.2.66, "2001:db8:66::/48"]
  firewall:
    rules:
      - {note: nobody there, source-interface: inside, destination: [banned], action: reject}
      - {note: inside may go out, source-interface: inside, destination-interface: outside, action: allow}
  policy:
    routes:
      - {to: 10.20.0.0/16, via: 198.51.100.9, interface: wlan0, table: 120}
      - {to: "2001:db8:20::/48", via: "2001:db8:1::9", interface: wlan0, table: 120}
    rules:
      - {to: 10.20.0.0/16, table: 120}
      - {to: "2001:db8:20::/48", table: 120}
`

// What the server sees of the client: the router's addresses.
const hidden4, hidden6 = "198.51.100.2:", "[2001:db8:1::2]:"

func TestRouter(t *testing.T) {
	w := newWorld(t)
	w.plug()
	if _, err := w.client.Call("ping", "-n", "-c", "1", "-W", "1", target4); err == nil {
		t.Fatal("packets pass before anything was applied: the test shows nothing")
	}
	kernel, files := w.kernel(), w.files()
	w.config(router)
	w.must(0, "plan")
	if got := w.kernel(); got != kernel {
		t.Errorf("plan has changed the kernel:\n%s", difference(kernel, got))
	}
	w.must(0, "apply")
	if out := w.must(0, "plan", "--exit-code"); !strings.Contains(out, "nothing to do") {
		t.Errorf("the second plan: %s", out)
	}
	if out := w.must(0, "apply"); !strings.Contains(out, "nothing to do") && !strings.Contains(out, "as it should be") {
		t.Errorf("the second apply: %s", out)
	}
	w.passes("applied", hidden4, hidden6)
	t.Run("judges", func(t *testing.T) { w.judges(t) })
	t.Run("explain", func(t *testing.T) { w.explains(t) })

	table, policy := w.table(), w.sh("ip rule; ip -6 rule; ip route show table 120; ip -6 route show table 120")
	w.reboot()
	out := w.must(0, "restore")
	if got := w.table(); got != table {
		t.Errorf("restored without any device the table is another one:\n%s", difference(table, got))
	}
	for _, want := range []string{"pending", "wlan0"} {
		if !strings.Contains(out, want) {
			t.Errorf("restore without devices does not say %q:\n%s", want, out)
		}
	}
	w.plug()
	w.must(0, "restore") // what waited for the devices
	if out := w.must(0, "restore"); !strings.Contains(out, "everything is as it was committed") {
		t.Errorf("the next restore says %s", out)
	}
	if got := w.table(); got != table {
		t.Errorf("the restored table is another one:\n%s", difference(table, got))
	}
	if got := w.sh("ip rule; ip -6 rule; ip route show table 120; ip -6 route show table 120"); got != policy {
		t.Errorf("the restored rules and routes are others:\n%s", difference(policy, got))
	}
	w.passes("restored", hidden4, hidden6)
	w.must(0, "plan", "--exit-code")

	w.must(0, "revert")
	if got := w.kernel(); got != kernel {
		t.Errorf("revert leaves in the kernel:\n%s", difference(kernel, got))
	}
	if got := w.files(); got != files {
		t.Errorf("revert leaves files:\n%s", difference(files, got))
	}
	if _, err := w.client.Call("ping", "-n", "-c", "1", "-W", "1", target4); err == nil {
		t.Error("packets pass after the revert")
	}
}

// judges asks nft whether it reads what we wrote as we meant it.
func (w *world) judges(t *testing.T) {
	show := w.must(0, "firewall", "show")
	if err := os.WriteFile(w.Root()+"/run/show.nft", []byte(show), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, msg, code := w.run(nil, "nft", "-c", "-f", "/run/show.nft"); code != 0 {
		t.Errorf("nft -c does not take what firewall show prints: %s%s", out, msg)
	}
	live := w.must(0, "firewall", "show", "--live")
	if got, want := blocks(stateless(live)), blocks(w.table()); got != want {
		t.Errorf("firewall show --live is not what nft shows:\n%s", difference(want, got))
	}
	// The text, loaded by nft elsewhere, is the table that we committed.
	other := newBox(t, newDisk(t))
	if err := os.WriteFile(other.Root()+"/run/show.nft", []byte(show), 0o600); err != nil {
		t.Fatal(err)
	}
	other.sh("nft -f /run/show.nft")
	// nft writes a reject behind "ip daddr" as one of ICMP, where ours is of either family: the same packet.
	if got, want := strings.NewReplacer(" with icmp port-unreachable", "", " with icmpv6 port-unreachable", "").Replace(blocks(other.table())), blocks(w.table()); got != want {
		t.Errorf("loaded by nft it is another table:\n%s", difference(want, got))
	}
	var all struct {
		Objects []struct {
			Table *struct{ Family, Name string }
			Chain *struct{ Family, Table, Name string }
			Rule  *struct{ Family, Table, Chain, Comment string }
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(w.sh("nft -j list ruleset")), &all); err != nil {
		t.Fatal(err)
	}
	tables, chains, rules, notes := 0, 0, 0, map[string]bool{}
	for _, o := range all.Objects {
		switch {
		case o.Table != nil:
			tables++
		case o.Chain != nil:
			chains++
		case o.Rule != nil:
			rules++
			notes[o.Rule.Comment] = true
		}
	}
	out := w.must(0, "firewall", "check")
	if want := fmt.Sprintf("%d chains, %d rules", chains, rules); tables != 1 || !strings.Contains(out, want) || !strings.Contains(out, "the kernel has it as it is compiled") {
		t.Errorf("nft lists %d tables, %s; firewall check says\n%s", tables, want, out)
	}
	for _, want := range []string{"rules[0] nobody there", "rules[1] inside may go out"} {
		if !notes[want] {
			t.Errorf("no rule has the comment %q", want)
		}
	}
}

var blanks = regexp.MustCompile(`[ \t]+`)

// blocks are the table's sets and chains, whose order means nothing, without what is only layout.
func blocks(text string) string {
	text = strings.TrimSuffix(strings.TrimSpace(text), "}")
	_, text, _ = strings.Cut(text, "\n")
	all := strings.Split(text, "\n\n")
	for i, b := range all {
		all[i] = blanks.ReplaceAllString(strings.TrimSpace(strings.ReplaceAll(b, ",\n", ", ")), " ")
	}
	slices.Sort(all)
	return strings.Join(all, "\n\n") + "\n"
}

// explains compares what explain says with what becomes of packets.
func (w *world) explains(t *testing.T) {
	for _, q := range []struct {
		from, to string
		want     []string
	}{
		{client4, "192.0.2.80:8080/tcp", []string{"rules[1] inside may go out", "wlan0", "198.51.100.2"}},
		{client6, "[2001:db8:80::80]:8080/tcp", []string{"rules[1] inside may go out", "wlan0"}},
		{client4, "192.0.2.66:80/tcp", []string{"rules[0] nobody there", "reject"}},
		{client4, "10.20.0.1:80/tcp", []string{"120", "198.51.100.9"}},
	} {
		out := w.must(0, "explain", "--from", q.from, "--to", q.to)
		for _, want := range q.want {
			if !strings.Contains(out, want) {
				t.Errorf("explain %s to %s does not say %q:\n%s", q.from, q.to, want, out)
			}
		}
	}
	if out, _ := w.client.Call("ping", "-n", "-c", "1", "-W", "1", "192.0.2.66"); !strings.Contains(out, "Unreachable") {
		t.Errorf("the banned address is not refused: %s", out)
	}
}

// difference is what is in only one of two texts, line by line.
func difference(before, after string) string {
	count := map[string]int{}
	for line := range strings.Lines(before) {
		count[line]--
	}
	for line := range strings.Lines(after) {
		count[line]++
	}
	var b strings.Builder
	for _, text := range []string{before, after} {
		for line := range strings.Lines(text) {
			switch n := count[line]; {
			case n < 0:
				b.WriteString("- " + line)
			case n > 0:
				b.WriteString("+ " + line)
			}
			count[line] = 0
		}
	}
	if b.Len() == 0 {
		return "(the same lines in another order)"
	}
	return b.String()
}

//go:build lab && linux

package people

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// overlayState is what of `provision overlay status -o json` is looked at.
type overlayState struct {
	Root  string `json:"root"`
	Nodes []struct {
		Node    string `json:"node"`
		State   string `json:"state"`
		Why     string `json:"why"`
		RTT     int64  `json:"rtt_ns"`
		Reached *bool  `json:"reached"`
	} `json:"nodes"`
	Problems []string `json:"problems"`
}

func (m *machine) overlay() (code int, s overlayState) {
	m.t.Helper()
	code, out, errs := m.status("overlay", "status", "-o", "json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		m.t.Fatalf("%s: %v\n%s%s", m.name, err, out, errs)
	}
	return code, s
}

// Three hosts, of which two have wires to the first only, which has a firewall: frames pass it, names are
// served, a wire that is killed and all of them after a reboot come back, and a node that is lost is named.
func TestPrivateInternet(t *testing.T) {
	w := newWorld(t)
	nodes := []*machine{w.box, w.phone, w.tablet}
	names := []string{"osaka", "paris", "quito"}
	var list strings.Builder
	for i, m := range nodes {
		m.sh("umask 077; mkdir -p /etc/provision; wg genkey > /etc/provision/overlay.key")
		fmt.Fprintf(&list, "      %s:\n        public-key: %s\n        endpoint: %s:51821\n        addresses: [10.97.99.%d/24]\n        bridge-addresses: [10.97.100.%d/24, \"fd98::%d/64\"]\n",
			names[i], strings.TrimSpace(m.sh("wg pubkey < /etc/provision/overlay.key")), []string{box4, "192.0.2.7", "192.0.2.77"}[i], i+1, i+1, i+1)
		if i > 0 {
			list.WriteString("        to: [osaka]\n")
		}
	}
	config := func(i int, sum bool) string {
		text := fmt.Sprintf("version: 1\nrouting:\n  overlay:\n    node: %s\n    private-key-file: /etc/provision/overlay.key\n    costs: measured\n    forward-delay: 2s\n    tx-checksum: %v\n    nodes:\n%s", names[i], sum, list.String())
		if i == 0 {
			text += "  zones:\n    inside: {interfaces: [lan0]}\n    outside: {interfaces: [eth0]}\nserve:\n  links:\n    - match: {name: lan0}\n      ra: {enabled: false}\n"
		}
		return text
	}
	for i, m := range nodes {
		m.write("/etc/provision/provision.yaml", config(i, false))
		m.provision("apply")
	}
	osaka, paris := w.box, w.phone
	osaka.background("", osaka.dir+"/bin/provision", "watch")
	osaka.background("", osaka.dir+"/bin/provision", "serve")
	for _, addr := range []string{"10.97.100.3", "fd98::3"} { // through the bridge of osaka
		paris.pings(addr)
	}
	netfilter, _ := osaka.try("cat", "/proc/sys/net/bridge/bridge-nf-call-iptables")
	t.Logf("bridge-nf-call-iptables at osaka: %q", strings.TrimSpace(netfilter))

	code, s := osaka.overlay()
	if code != 0 || len(s.Nodes) != 2 || s.Nodes[0].State != "forwards" || s.Nodes[0].RTT == 0 || s.Nodes[1].Reached == nil || !*s.Nodes[1].Reached {
		t.Errorf("status %d, %+v", code, s)
	}
	if code, far := paris.overlay(); code != 0 || far.Root != s.Root || far.Nodes[1].Node != "quito" || far.Nodes[1].Why != "neither calls the other" || !*far.Nodes[1].Reached {
		t.Errorf("at paris: status %d, %+v", code, far)
	}
	t.Logf("\n%s", osaka.provision("overlay", "status"))
	w.nodeNames(t)

	osaka.run("ip", "link", "del", "vx-quito")
	await(t, "the wire comes back", func() error {
		if out, _ := osaka.try("bridge", "-d", "link"); !strings.Contains(out, "vx-quito") {
			return errors.New(out)
		}
		return nil
	})
	paris.pings("10.97.100.3")

	// ethtool(8) is the judge of who sums up.
	sums := func(want string) {
		t.Helper()
		if out := osaka.run("ethtool", "-k", "vx-paris"); !strings.Contains(out, "tx-checksumming: "+want+"\n") {
			t.Errorf("want %s: %s", want, out)
		}
	}
	sums("off")
	for _, text := range []string{config(0, true), strings.Replace(config(0, true), "measured", "fixed", 1), config(0, true)} {
		osaka.write("/etc/provision/provision.yaml", text)
		osaka.provision("apply")
		osaka.provision("plan", "--exit-code")
	}
	sums("on")

	// After a reboot there is nothing but files: restore is what the unit at boot runs.
	w.tablet.sh("for d in br-overlay vx-osaka wg-overlay; do ip link del $d; done; nft flush ruleset")
	if code, s := w.tablet.overlay(); code != 2 || len(s.Problems) == 0 || !strings.Contains(s.Problems[0], "there is no bridge br-overlay") {
		t.Errorf("without anything: status %d, %+v", code, s)
	}
	w.tablet.provision("restore")
	paris.pings("fd98::3")
	w.tablet.provision("plan", "--exit-code")

	w.tablet.run("ip", "link", "set", "eth0", "down")
	await(t, "the lost node is named", func() error {
		if code, s := osaka.overlay(); code != 2 || !strings.Contains(strings.Join(s.Problems, "\n"), "quito cannot be reached, neither by its wire nor through others") {
			return fmt.Errorf("status %d, %+v", code, s)
		}
		return nil
	})
}

// nodeNames has dig(1) ask the server of osaka for the nodes, both families and back.
func (w *world) nodeNames(t *testing.T) {
	t.Helper()
	for name, want := range map[string]string{"osaka": "10.97.100.1 fd98::1", "quito": "10.97.100.3 fd98::3"} {
		await(t, "dig knows "+name, func() error {
			four, _ := w.home.try("dig", "+short", "+time=1", "@10.9.0.1", name+".lan", "A")
			six, _ := w.home.try("dig", "+short", "+time=1", "@10.9.0.1", name+".lan", "AAAA")
			if got := strings.Join(strings.Fields(four+six), " "); got != want {
				return fmt.Errorf("%s is %q, want %q", name, got, want)
			}
			return nil
		})
	}
	if got := strings.TrimSpace(w.home.run("dig", "+short", "@10.9.0.1", "-x", "fd98::3")); got != "quito.lan." {
		t.Errorf("fd98::3 is %q", got)
	}
}

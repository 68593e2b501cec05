//go:build lab && linux

package client

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// quickScript runs wg-quick where its sockets are nobody else's, and shows what it made. Its device is
// this test's process where the kernel has none.
const quickScript = `set -e
mount -t tmpfs tmpfs /run
mkdir /run/wireguard
cat > /run/device <<'END'
#!/bin/bash
mkfifo /run/ready
PROVISION_WIREGUARD_SOCKETS=/run/wireguard setsid "$DEVICE_PROGRAM" wireguard run --ready-fd 3 -- "$1" 3>/run/ready </dev/null >/dev/null 2>&1 &
read -r word </run/ready
[ "$word" = ready ]
END
chmod +x /run/device
export WG_QUICK_USERSPACE_IMPLEMENTATION=/run/device
wg-quick up "$1" 2>/run/said || { cat /run/said >&2; exit 1; }
trap 'wg-quick down "$1" 2>/dev/null' EXIT
bash "$2"
`

// showScript prints what a full tunnel consists of, and which way packets take.
const showScript = `ip -4 rule; ip -6 rule
ip -4 route show table all | grep -v 'table local'; ip -6 route show table all | grep -v -E 'table local|fe80|multicast'
sysctl net.ipv4.conf.all.src_valid_mark net.ipv4.conf.eth0.src_valid_mark net.ipv4.conf.eth0.rp_filter net.ipv4.conf.wg0.rp_filter net.ipv4.ip_forward
ip -o addr show dev wg0 scope global
ip -o link show dev wg0 | grep -o 'mtu [0-9]*'
nft list ruleset
for to in 203.0.113.80 192.0.2.9 192.0.2.1 10.97.98.1 198.51.100.2 2001:db8:80::80 2001:db8:1::9 fd12:3456:789a:1::1 2001:db8:2::2; do echo "way $(ip route get $to | head -1)"; done
`

// same is a line of showScript without what differs by choice alone: numbers, comments, who made it.
func same(line string) string {
	line = strings.Join(strings.Fields(line), " ")
	for _, r := range []struct{ from, to string }{
		{`^[0-9]+: (from|not)`, "rule $1"}, {`fwmark 0x[0-9a-f]+(/0x[0-9a-f]+)?`, "fwmark MARK"}, {`\b(51820|15800)\b`, "TABLE"},
		{` proto 158\b`, ""}, {`^comment ".*"`, "comment"}, {` comment ".*"`, ""}, {`fe80:[0-9a-f:]+`, "LINKLOCAL"}, {`counter packets [0-9]+ bytes [0-9]+ `, ""}, {`^[0-9]+: wg0`, "address"}, {` (uid|cache|expires).*`, ""}, {` valid_lft.*`, ""}, {` ?\\$`, ""}, {` pref medium`, ""},
		{` nodad`, ""}, {`^(way .* )(src .*)$`, "$1$2"},
	} {
		line = regexp.MustCompile(r.from).ReplaceAllString(line, r.to)
	}
	return strings.TrimSpace(line)
}

func lines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = same(l); l != "" && l != "}" {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// What this program does beside wg-quick or in place of it, and why. A line that is not here is a
// difference that nobody wanted.
var ours = map[string]string{
	"mtu 1440": "the endpoint is an IPv4 address, which takes 60 bytes; wg-quick takes 80 off always",
	"unreachable default dev lo table TABLE metric 4278198272": "wg-quick's rules leak when the device is gone (its table is empty then)",
	"unreachable default table TABLE metric 4278198272":        "the same for IPv4",
	"net.ipv4.conf.eth0.src_valid_mark = 1":                    "the same as all.src_valid_mark; it stays where somebody else turns that off",
	"net.ipv4.conf.eth0.rp_filter = 2":                         "what a peer sends from a new address has no mark yet, and a strict filter drops it",
	"table inet provision {":                                   "one table for both families and everything else",
	"chain tunnel-raw {":                                       "wg-quick's preraw, of both families",
	"chain mark-in {":                                          "wg-quick's premangle",
	"chain mark-out {":                                         "wg-quick's postmangle",
	"comment":                                                  "what it is for",
	"ct direction reply ct mark 0x01000000/8 meta mark set meta mark & 0x01ffffff | 0x01000000":   "wg-quick puts the mark of any connection on any UDP packet, so marks of others travel too; ours is one byte, on answers alone",
	"ct mark 0x01000000/8 fib daddr type local meta mark set meta mark & 0x01ffffff | 0x01000000": "the same for what a peer begins",
	"meta mark 0x01000000/8 ct mark set ct mark & 0x01ffffff | 0x01000000":                        "wg-quick's postmangle; of TCP and ICMP too, since probes of the way out are marked",
	"address inet 10.97.98.5/24 brd 10.97.98.255 scope global wg0":                                "the kernel's own broadcast address, as ifconfig and networkd have it; nobody hears it in a tunnel",
}

var theirs = map[string]string{
	"mtu 1420":                              "see ours",
	"net.ipv4.conf.eth0.src_valid_mark = 0": "see ours",
	"net.ipv4.conf.eth0.rp_filter = 1":      "see ours",
	"table ip wg-quick-wg0 {":               "a table per family",
	"table ip6 wg-quick-wg0 {":              "a table per family",
	"chain preraw {":                        "tunnel-raw",
	"chain premangle {":                     "mark-in",
	"chain postmangle {":                    "mark-out",
	"meta l4proto udp meta mark 0x0000ca6c ct mark set meta mark": "mark-out",
	"meta l4proto udp meta mark set ct mark":                      "mark-in",
	"address inet 10.97.98.5/24 scope global wg0":                 "see ours",
}

// linkLocal is wg-quick's for the address that a tun device has and the kernel's WireGuard has not.
const linkLocal = "iifname != \"wg0\" ip6 daddr LINKLOCAL fib saddr type != local drop"

// TestQuick gives wg-quick the same file in a world like ours.
func TestQuick(t *testing.T) {
	if _, err := exec.LookPath("wg-quick"); err != nil {
		t.Skip("skipped: no wg-quick; install wireguard-tools")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := tunnelFile(far4+":51820", own4+"/24, "+own6+"/64", "0.0.0.0/0, ::/0")
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	show := put("show.sh", showScript)

	w := newWorld(t)
	w.apply(w.planned(text))
	got := lines(w.client.Sh("bash " + show))

	q := newWorld(t)
	want := lines(q.client.Sh("env DEVICE_PROGRAM=" + program + " unshare -m --propagation private bash " + put("quick.sh", quickScript) + " " + put("wg0.conf", text) + " " + show))

	known := maps.Clone(theirs)
	if !w.kernel {
		known[linkLocal] = "a link-local address is not reached from another link anyway"
	}
	differ(t, "we", got, want, ours)
	differ(t, "wg-quick", want, got, known)
}

// differ finds what a has and b has not, beyond what is known, and what is known and not so.
func differ(t *testing.T, who string, a, b []string, known map[string]string) {
	t.Helper()
	seen := map[string]bool{}
	for _, l := range a {
		if slices.Contains(b, l) {
			continue
		}
		if _, ok := known[l]; !ok {
			t.Errorf("%s alone: %s", who, l)
		}
		seen[l] = true
	}
	for l := range known {
		if !seen[l] {
			t.Errorf("%s should differ: %s", who, l)
		}
	}
}

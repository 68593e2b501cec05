//go:build lab && linux

package people

import (
	"sort"
	"strings"
	"testing"
)

// settings are what `wg showconf` says, in an order of its own.
func settings(text string) string {
	var sections []string
	for _, s := range strings.Split(text, "[") {
		lines := strings.Split(strings.ReplaceAll(s, " = ", "="), "\n")
		for n, l := range lines {
			if list, ok := strings.CutPrefix(l, "AllowedIPs="); ok {
				ips := strings.Split(strings.ReplaceAll(list, " ", ""), ",")
				sort.Strings(ips)
				lines[n] = "AllowedIPs=" + strings.Join(ips, ",")
			}
			if strings.HasPrefix(lines[n], "Endpoint") || strings.HasPrefix(lines[n], "#") {
				lines[n] = "" // it roams; a name
			}
		}
		sort.Strings(lines[1:])
		sections = append(sections, strings.Join(strings.Fields(strings.Join(lines, "\n")), "\n"))
	}
	sort.Strings(sections)
	return strings.TrimSpace(strings.Join(sections, "\n["))
}

// A server of wg-quick is taken over: its commands are not run, what they let through is policy, its
// phone flows as before; and what is exported is what wg and wg-quick read.
func TestTakeOver(t *testing.T) {
	w := newWorld(t)
	box := w.box
	boxKey, phoneKey := strings.TrimSpace(box.run("wg", "genkey")), strings.TrimSpace(box.run("wg", "genkey"))
	public := func(private string) string {
		c := box.command("wg", "pubkey")
		c.Stdin = strings.NewReader(private + "\n")
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	psk := strings.TrimSpace(box.run("wg", "genpsk"))
	box.write("/etc/wireguard/wg0.conf", `[Interface]
Address = 10.7.0.1/24, fddd:2c4:2c4:2c4::1/64
PrivateKey = `+boxKey+`
ListenPort = 51820
PreUp = touch /run/ran
PostUp = iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE; touch /run/ran
PostUp = ip6tables -A FORWARD -i %i -j ACCEPT; ip6tables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
PostDown = iptables -D FORWARD -i %i -j ACCEPT; touch /run/ran
SaveConfig = true

# BEGIN_PEER phone
[Peer]
PublicKey = `+public(phoneKey)+`
PresharedKey = `+psk+`
AllowedIPs = 10.7.0.2/32, fddd:2c4:2c4:2c4::2/128
# END_PEER phone
`)
	box.run("chmod", "644", "/etc/wireguard/wg0.conf")
	if code, _, errs := box.status("wireguard", "import", "/etc/wireguard/wg0.conf"); code != 64 || !strings.Contains(errs, "others may read it (mode 0644)") || strings.Contains(errs, boxKey) {
		t.Errorf("a file that others may read: status %d, %s", code, errs)
	}
	box.run("chmod", "600", "/etc/wireguard/wg0.conf")
	if out := box.provision("wireguard", "import", "/etc/wireguard/wg0.conf", "--dry-run"); !strings.Contains(out, "wireguard:wg0") {
		t.Errorf("--dry-run: %s", out)
	}
	if got, err := box.try("ls", "/etc/provision/wireguard.d"); err == nil {
		t.Errorf("--dry-run keeps %s", got)
	}
	out := box.provision("wireguard", "import", "/etc/wireguard/wg0.conf")
	for _, want := range []string{"touch /run/ran", "none of it was run", "reach: internet", "SaveConfig = true"} {
		if !strings.Contains(out, want) {
			t.Errorf("import does not say %q:\n%s", want, out)
		}
	}
	if _, err := box.try("ls", "/run/ran"); err == nil {
		t.Error("a command of the file was run")
	}
	w.phone.up("wg0", `[Interface]
PrivateKey = `+phoneKey+`
Address = 10.7.0.2/32, fddd:2c4:2c4:2c4::2/128
[Peer]
PublicKey = `+public(boxKey)+`
PresharedKey = `+psk+`
AllowedIPs = 0.0.0.0/0, ::/0
Endpoint = `+box4+`:51820
`)
	w.phone.pings(host4)
	w.phone.pings(host6)

	sync := box.provision("wireguard", "export", "--sync")
	box.write("/run/wg0.sync", sync)
	before := settings(box.run("wg", "showconf", "wg0"))
	box.run("wg", "syncconf", "wg0", "/run/wg0.sync")
	if after := settings(box.run("wg", "showconf", "wg0")); after != before || !strings.Contains(before, phonePart(public(phoneKey))) {
		t.Errorf("wg syncconf makes\n%s\nof\n%s", after, before)
	}
	box.provision("plan", "--exit-code")
	code, quick, errs := box.status("wireguard", "export")
	if code != 0 || !strings.Contains(errs, "reach") {
		t.Errorf("export: status %d, %s", code, errs)
	}
	box.write("/run/wg0.conf", quick)
	if got := settings(box.run("wg-quick", "strip", "/run/wg0.conf")); got != before {
		t.Errorf("wg-quick strips our file to\n%s\nnot\n%s", got, before)
	}
	if code, _, errs := box.status("wireguard", "import", "/etc/wireguard/wg0.conf"); code != 64 || !strings.Contains(errs, "there is an interface wg0 already") {
		t.Errorf("imported twice: status %d, %s", code, errs)
	}
	// What somebody else has up is theirs.
	w.tablet.up("wg1", "[Interface]\nPrivateKey = "+boxKey+"\nAddress = 10.9.9.9/24\n")
	w.tablet.run("chmod", "600", "/etc/wireguard/wg1.conf")
	if code, _, errs := w.tablet.status("wireguard", "import", "/etc/wireguard/wg1.conf"); code != 4 || !strings.Contains(errs, "wg-quick down wg1") {
		t.Errorf("one that wg-quick has up: status %d, %s", code, errs)
	}
	if got, err := w.tablet.try("ls", "/etc/provision/wireguard.d"); err == nil {
		t.Errorf("kept all the same: %s", got)
	}
}

func phonePart(public string) string { return "PublicKey=" + public }

// With a firewall of zones: the port is open, peers reach what reach names and nothing else, and what
// cannot be is refused before anything is kept.
func TestZones(t *testing.T) {
	w := newWorld(t)
	box := w.box
	box.write("/etc/provision/provision.yaml", `version: 1
routing:
  zones:
    outside: {interfaces: [eth0], masquerade: true}
    home: {interfaces: [lan0]}
`)
	box.provision("apply")
	box.provision("wireguard", "init", "--endpoint", box4, "--manage", "no")
	w.phone.up("phone", box.provision("wireguard", "add", "phone"))
	w.phone.pings(host4)
	w.phone.pings(host6)
	w.phone.silent(lan4)
	box.provision("wireguard", "init", "--reach", "internet,peers,home")
	w.phone.pings(lan4)
	w.phone.pings(lan6)
	box.provision("wireguard", "init", "--reach", "home")
	w.phone.silent(host4)
	w.phone.pings(lan4)
	before := box.run("sh", "-c", "cat /etc/provision/wireguard.d/wg0.yaml; nft -s list chain inet provision input; nft -s list chain inet provision forward; nft -s list chain inet provision forward.vpn")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"init", "--zone", "home", "--manage", "no"}, "the zone says the opposite"},
		{[]string{"init", "--reach", "nowhere"}, "nowhere"},
		{[]string{"add", "thief", "--behind", "10.9.0.0/16,203.0.113.0/24", "--address", field(t, box.provision("wireguard", "show", "phone"), "Address")}, "is that of peer phone already"},
		{[]string{"add", "own", "--address", strings.Split(field(t, box.provision("wireguard", "show", "phone"), "DNS"), ",")[0]}, "address of this machine itself"},
	} {
		if code, _, errs := box.status(append([]string{"wireguard"}, tt.args...)...); code != 64 || !strings.Contains(errs, tt.want) {
			t.Errorf("%v: status %d, %s", tt.args, code, errs)
		}
	}
	if after := box.run("sh", "-c", "cat /etc/provision/wireguard.d/wg0.yaml; nft -s list chain inet provision input; nft -s list chain inet provision forward; nft -s list chain inet provision forward.vpn"); after != before {
		t.Errorf("after refusals:\n%s\nbefore:\n%s", after, before)
	}
	if got := box.run("ls", "/etc/provision/wireguard.d/wg0"); got != "phone.yaml\n" {
		t.Errorf("kept: %s", got)
	}
	box.run("chmod", "644", "/etc/provision/wireguard.d/wg0/phone.yaml")
	for _, args := range [][]string{{"apply"}, {"wireguard", "add", "other"}, {"wireguard", "list"}} {
		if code, _, errs := box.status(args...); code != 64 || !strings.Contains(errs, "others may read it (mode 0644)") {
			t.Errorf("%v with a key that others may read: status %d, %s", args, code, errs)
		}
	}
}

// A firewall of somebody else that would drop what peers send is named, with what it drops.
func TestOthersInTheWay(t *testing.T) {
	w := newWorld(t)
	w.box.sh(`nft add table inet filter
nft 'add chain inet filter input { type filter hook input priority 0; policy drop; }'
nft 'add rule inet filter input tcp dport 22 accept'
nft 'add chain inet filter forward { type filter hook forward priority 0; policy drop; }'`)
	out := w.box.provision("wireguard", "init", "--endpoint", box4, "--manage", "no")
	for _, want := range []string{"another firewall is in the way", "51820", "chain forward"} {
		if !strings.Contains(out, want) {
			t.Errorf("init does not say %q:\n%s", want, out)
		}
	}
}

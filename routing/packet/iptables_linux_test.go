package packet

import (
	"os/exec"
	"testing"
)

// TestIptablesAgainstKernel has rules as ufw and docker make them, put in by iptables-nft.
func TestIptablesAgainstKernel(t *testing.T) {
	tool, err := exec.LookPath("iptables-nft")
	if err != nil {
		t.Skip("skipped: no iptables-nft; install iptables")
	}
	l := newLab(t)
	packets := []Packet{
		{From: addr("10.55.0.2"), To: addr("1.1.1.1"), Proto: "udp", Dport: 53, In: "lan0"},
		{From: addr("10.55.0.2"), To: addr("1.1.1.1"), Proto: "tcp", Dport: 443, In: "lan0"},
		{From: addr("10.55.0.2"), To: addr("1.1.1.1"), Proto: "icmp", In: "lan0"},
		{From: addr("10.55.0.2"), To: addr("192.0.2.1"), Proto: "tcp", Dport: 22, In: "lan0"},
		{From: addr("1.1.1.1"), To: addr("192.0.2.1"), Proto: "tcp", Dport: 80, In: "wan0"},
		{From: addr("1.1.1.1"), To: addr("10.55.0.2"), Proto: "udp", Dport: 80, In: "wan0"},
	}
	for _, rules := range [][]string{
		{"-P FORWARD DROP", "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A FORWARD -i lan0 -p udp -m udp --dport 53 -m comment --comment dns -j ACCEPT", "-A FORWARD -p icmp --icmp-type echo-request -j ACCEPT"},
		{"-N log", "-A log -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix x", "-A log -j DROP", "-A FORWARD -m conntrack --ctstate INVALID -j DROP", "-A FORWARD -p tcp -m tcp --dport 400:500 --syn -j log", "-A INPUT -m addrtype --dst-type LOCAL -p tcp --dport 22 -j DROP"},
		{"-t nat -A PREROUTING -m addrtype --dst-type LOCAL -p tcp --dport 80 -j DNAT --to-destination 10.55.0.2:8080", "-P FORWARD DROP", "-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT", "-A FORWARD -m conntrack ! --ctstate NEW -j ACCEPT", "-t mangle -A PREROUTING -p udp -j MARK --set-xmark 0x4/0xff", "-A FORWARD -m mark --mark 0x4/0xff -i lan0 -j ACCEPT"},
		{"-t nat -A POSTROUTING -o wan0 -j MASQUERADE", "-A FORWARD -p udp -j REJECT", "-t nat -A PREROUTING -i lan0 -p tcp --dport 443 -j REDIRECT --to-ports 8443", "-t nat -A PREROUTING -i wan0 -p udp -j DNAT --to-destination 10.55.0.2", "-A INPUT -p tcp -j REJECT --reject-with tcp-reset"},
		{"-t nat -A POSTROUTING -s 10.55.0.0/24 -j SNAT --to-source 192.0.2.77", "-t mangle -A PREROUTING -i lan0 -p tcp -j MARK --set-mark 0x10", "-A FORWARD -o wan1 -m conntrack --ctdir ORIGINAL -j DROP"},
	} {
		for _, r := range rules {
			l.r.Sh(tool + " -w " + r)
		}
		w := l.world()
		for _, p := range packets {
			r := Explain(w, p)
			if !r.Certain {
				t.Errorf("uncertain: %v: %v", p, r.Doubts)
				continue
			}
			l.compare(rules[0], w, p)
		}
		l.wipe(w)
	}
}

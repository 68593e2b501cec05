//go:build lab

package firewalls

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/dockeruser"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/scripts/lab"
)

func TestFirewalls(t *testing.T) {
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			b := newBed(t, suite)
			b.nothing(suite)
			b.docker(suite)
			// Together has ufw and firewalld of the older release, too.
			if suite == "trixie" || os.Getenv("PROVISION_LAB_FULL") != "" {
				b.ufw(suite)
				b.firewalld(suite)
			}
			if suite == "bookworm" {
				b.together(suite)
				b.others()
				b.legacy(suite)
			}
		})
	}
}

// step runs f as a subtest, of which the rest does not depend unless it fails.
func (b *bed) step(name string, f func(t *testing.T)) {
	outer := b.t
	outer.Run(name, func(t *testing.T) {
		b.t = t
		defer func() { b.t = outer }()
		f(t)
	})
	if outer.Failed() {
		outer.FailNow()
	}
}

// product finds what was detected.
func product(s foreign.Seen, name string) foreign.Product {
	for _, p := range foreign.Detect(s) {
		if p.Name == name {
			return p
		}
	}
	return foreign.Product{}
}

// foretold compares what the report says with what becomes of real packets.
func (b *bed) foretold(s foreign.Seen) {
	b.t.Helper()
	reached := b.reach()
	for _, family := range []int{4, 6} {
		for _, f := range flows() {
			f.Family = family
			lost := false
			for _, r := range foreign.Report(s, []foreign.Flow{f}) {
				lost = lost || r.Drops == foreign.All || r.Drops == foreign.Most
				if r.Drops == foreign.Perhaps {
					b.t.Errorf("IPv%d, %s: %s", family, f, r)
				}
			}
			if passes := reached[way{family, f.Out != ""}]; passes == lost {
				b.t.Errorf("IPv%d, %s: passes %v, foretold %v", family, f, passes, !lost)
			}
		}
	}
}

func (b *bed) all(want bool) {
	b.t.Helper()
	for w, got := range b.reach() {
		if got != want {
			b.t.Errorf("IPv%d, forwarded %v: passes %v", w.family, w.forwarded, got)
		}
	}
}

func (b *bed) apply(d provision.Desired) provision.Result {
	b.t.Helper()
	r, err := b.engine.Apply(context.Background(), d, provision.ApplyOptions{Settle: 5 * time.Second})
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bed) revert() {
	b.t.Helper()
	if r, err := b.engine.Revert(context.Background(), false); err != nil || len(r.Foreign) > 0 {
		b.t.Fatal(r, err)
	}
}

// forget loses what the engine knows, as when its directory is deleted. The rules of ours that
// are there then are not taken for what was there first; zones of firewalld have no author, so
// they are put back by hand.
func (b *bed) forget() {
	b.t.Helper()
	store, err := provision.Open(b.t.TempDir())
	if err != nil {
		b.t.Fatal(err)
	}
	b.engine.Store = store
	for _, when := range []string{"", " --permanent"} {
		b.sh("firewall-cmd --zone=trusted --remove-interface=lan0" + when)
	}
}

// comesAndGoes shows that our table and then our adapter leave everything of others as it was, once
// the other firewall has made its rules anew: firewalld keeps the chains of a zone that has lost
// its last device, and a reload of ufw makes two rules more than enabling it. The middle is called
// while both are there.
func (b *bed) comesAndGoes(adapter, before, after string, middle func(d provision.Desired)) {
	b.t.Helper()
	b.sh(before)
	others := b.ruleset()
	b.apply(provision.Desired{Wants: []provision.Want{ours()}})
	same(b.t, "our table came", others, b.ruleset())
	b.foretold(b.seen())
	d := foreign.Adapters{adapter}.Plan(b.seen(), whole())
	if len(d.Wants) == 0 {
		b.t.Fatalf("%s: nothing is planned: %v", adapter, d.Notes)
	}
	d.Wants = append([]provision.Want{ours()}, d.Wants...)
	b.apply(d)
	b.foretold(b.seen())
	// What it has told the other is no reason to plan less.
	if p, err := b.engine.Plan(context.Background(), d); err != nil || !p.Empty() {
		b.t.Errorf("the second plan is %v, %v", p, err)
	}
	again := foreign.Adapters{adapter}.Plan(b.seen(), whole())
	if !reflect.DeepEqual(again.Wants, d.Wants[1:]) {
		b.t.Errorf("the second time %v is planned", again.Wants)
	}
	middle(d)
	if v, err := b.engine.Verify(context.Background(), d); err != nil || !v.OK() {
		b.t.Errorf("afterwards: %v, %v", v, err)
	}
	b.revert()
	b.sh(after)
	same(b.t, "all of ours went", others, b.ruleset())
}

func (b *bed) nothing(suite string) {
	b.step("nothing", func(t *testing.T) {
		b.sh("nft flush ruleset")
		s := b.seen()
		if f := foreign.Report(s, whole()); len(f) > 0 {
			t.Errorf("found %v", f)
		}
		if p := product(s, "docker"); p.State != foreign.Installed {
			t.Errorf("docker is %+v", p)
		}
		if p := product(s, "ufw"); p.State != "" {
			t.Errorf("ufw, which is not enabled, is %+v", p)
		}
		b.keep(suite+"-nothing", s)
		b.all(true)
	})
}

func (b *bed) docker(suite string) {
	b.step("docker", func(t *testing.T) {
		// docker sets its policy only where it turns forwarding on.
		b.sh("echo 0 > /proc/sys/net/ipv4/ip_forward; touch /run/lab-docker; systemctl start docker")
		s := b.seen()
		b.keep(suite+"-docker", s)
		if p := product(s, "docker"); p.State != foreign.Active || p.Backend != "iptables-nft" {
			t.Errorf("docker is %+v", p)
		}
		if b.passes(4, true) {
			t.Error("docker drops nothing here: the test shows nothing")
		}
		b.comesAndGoes("docker", "true", "true", func(provision.Desired) {
			b.all(true)
			rules := b.sh("iptables -S DOCKER-USER")
			for _, line := range []string{
				"-A DOCKER-USER -i lan0 -o wan0 -m comment --comment provision -j ACCEPT",
				"-A DOCKER-USER -i wan0 -o lan0 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment provision -j ACCEPT",
			} {
				if !strings.Contains(rules, line) {
					t.Errorf("iptables shows\n%s", rules)
				}
			}
			b.sh("systemctl restart docker")
			b.all(true)
			// An empty chain is filled again.
			b.sh("iptables -F DOCKER-USER")
			w := foreign.Adapters{"auto"}.Plan(b.seen(), whole()).Wants[0]
			if err := b.engine.Resources[dockeruser.Kind].Set(context.Background(), w.Name, nil, w.Attrs); err != nil {
				t.Error(err)
			}
			b.all(true)
			b.sh("iptables -A DOCKER-USER -j RETURN")
		})
		b.asWrittenByIptables(t)
		// It leaves its policy behind when it stops.
		b.sh("systemctl stop docker docker.socket; rm /run/lab-docker; ip link del docker0; nft flush ruleset; sysctl -qw net.ipv4.ip_forward=1")
	})
}

// asWrittenByIptables compares our rules with those that iptables makes, expression by expression.
func (b *bed) asWrittenByIptables(t *testing.T) {
	t.Helper()
	pair := func() []nft.Rule {
		s := b.seen()
		for _, table := range s.Tables {
			for _, c := range table.Chains {
				if table.Family == "ip" && table.Name == "filter" && c.Name == "DOCKER-USER" {
					for i := range c.Rules {
						c.Rules[i].Handle = 0
						for _, e := range c.Rules[i].Exprs {
							if e.Counter != nil {
								*e.Counter = nft.Counter{}
							}
						}
					}
					return c.Rules[:2]
				}
			}
		}
		t.Fatal("there is no DOCKER-USER")
		return nil
	}
	w := dockeruser.Want("ip", []dockeruser.Pair{{In: "usb*", Out: "wlan0"}}, "")
	r := b.engine.Resources[dockeruser.Kind]
	if err := r.Set(context.Background(), "ip", nil, w.Attrs); err != nil {
		t.Fatal(err)
	}
	mine := pair()
	if err := r.Set(context.Background(), "ip", w.Attrs, nil); err != nil {
		t.Fatal(err)
	}
	b.sh(`iptables -I DOCKER-USER -i wlan0 -o usb+ -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment provision -j ACCEPT
iptables -I DOCKER-USER -i usb+ -o wlan0 -m comment --comment provision -j ACCEPT`)
	if theirs := pair(); !reflect.DeepEqual(mine, theirs) {
		t.Errorf("we write\n%+v\niptables writes\n%+v", mine, theirs)
	}
	// What iptables wrote is ours by its comment.
	if have, err := r.Get(context.Background(), "ip"); err != nil || have[dockeruser.AttrRules] != w.Attrs[dockeruser.AttrRules] {
		t.Errorf("read as %v, %v", have, err)
	}
	// Single ports and dnat, which newer iptables write in another way and all read.
	some := dockeruser.Want("ip", []dockeruser.Pair{{In: inside, Out: outside, Proto: "tcp", Port: port}, {In: outside, Out: inside, Published: true}, {In: outside, Out: inside, Proto: "udp", Port: 53}}, "")
	if err := r.Set(context.Background(), "ip", w.Attrs, some.Attrs); err != nil {
		t.Fatal(err)
	}
	shown := b.sh("iptables -S DOCKER-USER")
	for _, line := range []string{
		"-A DOCKER-USER -i lan0 -o wan0 -p tcp -m tcp --dport 8080 -m comment --comment provision -j ACCEPT",
		"-A DOCKER-USER -i wan0 -o lan0 -m conntrack --ctstate DNAT -m comment --comment provision -j ACCEPT",
		"-A DOCKER-USER -i wan0 -o lan0 -p udp -m udp --dport 53 -m comment --comment provision -j ACCEPT",
	} {
		if !strings.Contains(shown, line) {
			t.Errorf("iptables shows\n%s", shown)
		}
	}
	b.foretold(b.seen())
	if !b.passes(4, true) {
		t.Error("the port is not open")
	}
	if err := r.Set(context.Background(), "ip", some.Attrs, w.Attrs); err != nil {
		t.Fatal(err)
	}
	if have, err := r.Get(context.Background(), "ip"); err != nil || have[dockeruser.AttrRules] != w.Attrs[dockeruser.AttrRules] {
		t.Errorf("read as %v, %v", have, err)
	}
}

func (b *bed) ufw(suite string) {
	b.step("ufw", func(t *testing.T) {
		b.sh("ufw --force enable")
		s := b.seen()
		b.keep(suite+"-ufw", s)
		if p := product(s, "ufw"); p.State != foreign.Active {
			t.Errorf("ufw is %+v", p)
		}
		b.all(false)
		files := b.sh("cat /etc/ufw/*.rules")
		b.comesAndGoes("ufw", "ufw reload", "true", func(provision.Desired) {
			b.all(true)
			if shown := b.sh("ufw show added"); !strings.Contains(shown, "ufw route allow in on lan0 out on wan0 comment 'provision'") ||
				!strings.Contains(shown, "ufw allow in on lan0 to any port 8080 proto tcp comment 'provision'") {
				t.Errorf("ufw shows\n%s", shown)
			}
			b.sh("ufw reload")
			b.all(true)
		})
		if now := b.sh("cat /etc/ufw/*.rules"); now != files {
			t.Errorf("ufw's files were\n%s\nand are\n%s", files, now)
		}
		b.all(false)
		b.sh("ufw --force disable; nft flush ruleset")
	})
}

// startFirewalld waits until it has made its rules: it is on the message bus before.
const startFirewalld = "touch /run/lab-firewalld; systemctl start firewalld; timeout 30 bash -c 'until firewall-cmd -q --state; do sleep 0.05; done'"

func (b *bed) firewalld(suite string) {
	b.step("firewalld", func(t *testing.T) {
		b.sh(startFirewalld)
		s := b.seen()
		b.keep(suite+"-firewalld", s)
		if p := product(s, "firewalld"); p.State != foreign.Active || p.Backend != "nftables" {
			t.Errorf("firewalld is %+v", p)
		}
		b.all(false)
		b.comesAndGoes("firewalld", "true", "firewall-cmd --reload", func(provision.Desired) {
			b.all(true)
			b.sh("firewall-cmd --reload")
			b.all(true)
			for _, when := range []string{"", " --permanent"} {
				if zone := strings.TrimSpace(b.sh("firewall-cmd --get-zone-of-interface=lan0" + when)); zone != "trusted" {
					t.Errorf("%s: zone %q", when, zone)
				}
			}
		})
		b.all(false)
	})
}

// together is docker, ufw and firewalld at once, and an adapter for each.
func (b *bed) together(suite string) {
	b.step("together", func(t *testing.T) {
		b.sh(startFirewalld)
		b.sh("echo 0 > /proc/sys/net/ipv4/ip_forward; touch /run/lab-docker; systemctl reset-failed docker docker.socket; systemctl start docker; ufw --force enable")
		b.all(false)
		reload := func() {
			b.sh("firewall-cmd --reload; ufw reload")
			lab.Await(t, 20*time.Second, func() error {
				if !strings.Contains(b.sh("iptables -S FORWARD; nft list table inet firewalld"), "filter_FWD_docker") || !strings.Contains(b.sh("iptables -S"), "-A FORWARD -j DOCKER-USER") {
					return errors.New("docker has not heard of it yet")
				}
				return nil
			})
		}
		reload()
		before := b.ruleset()
		s := b.seen()
		b.keep(suite+"-together", s)
		d := foreign.Adapters{"auto"}.Plan(s, whole())
		d.Wants = append([]provision.Want{ours()}, d.Wants...)
		b.apply(d)
		b.all(true)
		// One adapter less, and back to all of them.
		d2 := d
		d2.Wants = slices.DeleteFunc(slices.Clone(d.Wants), func(w provision.Want) bool { return w.Kind == "ufw-rules" })
		b.apply(d2)
		// docker and ufw share the chain FORWARD of IPv4: what DOCKER-USER accepts never comes to ufw.
		b.foretold(b.seen())
		if got := b.reach(); !got[way{4, true}] || got[way{6, true}] || got[way{4, false}] {
			t.Errorf("without ufw's adapter: %v", got)
		}
		if _, err := b.engine.Rollback(context.Background()); err != nil {
			t.Fatal(err)
		}
		b.all(true)
		b.forget()
		b.apply(d)
		// A reload of firewalld empties the tables of iptables (FlushAllOnReload); docker makes its
		// chains anew when it hears of it, and without our rules. What is wanted is level: once more.
		reload()
		b.apply(d)
		b.all(true)
		b.revert()
		reload()
		same(t, "all of ours went", before, b.ruleset())
		b.sh("systemctl stop docker docker.socket firewalld; ufw --force disable; rm /run/lab-*; ip link del docker0; nft flush ruleset; sysctl -qw net.ipv4.ip_forward=1")
	})
}

// others are the rules of programs that are not installed here, as they make them: loaded by nft
// or iptables, read back, and judged with real packets.
func (b *bed) others() {
	b.step("others", func(t *testing.T) {
		for _, name := range []string{"oracle.rules", "kubernetes.rules", "docker29.nft", "libvirt.nft", "bans.nft", "nftables.nft"} {
			text, err := os.ReadFile("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			base, kind, _ := strings.Cut(name, ".")
			b.sh("nft flush ruleset; rm -rf /etc/iptables /etc/nftables.conf; systemctl disable nftables 2>/dev/null")
			switch {
			case base == "nftables":
				b.WriteFile(t, "/etc/nftables.conf", string(text), 0o755)
				b.sh("nft -f /etc/nftables.conf; systemctl enable nftables 2>/dev/null")
			case kind == "nft":
				b.WriteFile(t, "/root/rules", string(text), 0o644)
				b.sh("nft -f /root/rules")
			default:
				b.WriteFile(t, "/etc/iptables/rules.v4", string(text), 0o644)
				b.sh("iptables-restore < /etc/iptables/rules.v4")
			}
			s := b.seen()
			b.keep(base, s)
			b.foretold(s)
		}
		b.sh("nft flush ruleset; rm -rf /etc/iptables; systemctl disable nftables 2>/dev/null")
	})
}

// legacy is docker on the old x_tables, whose rules cannot be read by nf_tables.
func (b *bed) legacy(suite string) {
	b.step("legacy", func(t *testing.T) {
		b.sh("update-alternatives --set iptables /usr/sbin/iptables-legacy; echo 0 > /proc/sys/net/ipv4/ip_forward; touch /run/lab-docker; systemctl reset-failed docker docker.socket; systemctl start docker")
		s := b.seen()
		b.keep(suite+"-legacy", s)
		if p := product(s, "docker"); p.Backend != "iptables-legacy" {
			t.Errorf("docker is %+v", p)
		}
		if b.passes(4, true) {
			t.Error("docker drops nothing here")
		}
		f := foreign.Report(s, []foreign.Flow{{In: inside, Out: outside, Family: 4}})
		if len(f) != 1 || f[0].Drops != foreign.Perhaps || f[0].Product != "docker" {
			t.Errorf("found %v", f)
		}
		if d := (foreign.Adapters{"docker"}).Plan(s, whole()); len(d.Wants) != 0 || len(d.Notes) == 0 {
			t.Errorf("planned %v", d)
		}
	})
}

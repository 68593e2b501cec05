package ifupdown

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// text shows a Desired for people and for comparison.
func text(d provision.Desired, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "error: %v\n", err)
	}
	want := func(kind string, w provision.Want) {
		fmt.Fprintf(&b, "%s %s", kind, w.Ref)
		if w.Mode != provision.Must {
			fmt.Fprintf(&b, " mode=%d", w.Mode)
		}
		if len(w.Via) > 0 {
			fmt.Fprintf(&b, " via=%v", w.Via)
		}
		fmt.Fprintf(&b, " (%s)\n", w.Why)
		for _, k := range slices.Sorted(maps.Keys(w.Attrs)) {
			if k == "content" {
				for line := range strings.Lines(w.Attrs[k]) {
					fmt.Fprintf(&b, "  | %s\n", strings.TrimPrefix(strings.TrimSuffix(fmt.Sprintf("%q", line), `\n"`), `"`))
				}
				continue
			}
			fmt.Fprintf(&b, "  %s: %s\n", k, w.Attrs[k])
		}
	}
	for _, w := range d.Wants {
		want("want", w)
	}
	for _, t := range d.Triggers {
		fmt.Fprintf(&b, "trigger %s: %s %v on %v gap=%q\n  %s\n", t.Name, t.Do.Kind, t.Do.Args, t.On, t.Gap, t.Why)
	}
	for _, w := range d.Expect {
		want("expect", w)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "note %s %s: %s\n", n.Level, n.Subject, n.Text)
	}
	return b.String()
}

func m(metric uint32) *uint32 { return &metric }

// nics are the NAT NIC and the bridged NIC of the fixture with the usual metrics.
func nics(f *facts.Facts) []backends.NIC {
	return []backends.NIC{
		{Link: f.Links[1], Role: facts.RoleNAT, Metric4: m(1000), Metric6: m(1000), Why: "nat"},
		{Link: f.Links[2], Role: facts.RoleBridged, Metric4: m(10), Metric6: m(10), Optional: true, Why: "bridged"},
	}
}

const head = "auto lo\niface lo inet loopback\n"

// with replaces the interfaces file and adds others; a path without a slash is in
// interfaces.d.
func with(client, interfaces string, more ...string) *facts.Facts {
	f := backendtest.Ifupdown(client)
	backendtest.Put(f, interfacesFile, interfaces, 0o644)
	for i := 0; i < len(more); i += 2 {
		p := more[i]
		if !strings.HasPrefix(p, "/") {
			p = interfacesDir + "/" + p
		}
		backendtest.Put(f, p, more[i+1], 0o644)
	}
	return f
}

// third adds a NIC without any configuration.
func third(f *facts.Facts, change ...func(*backends.NIC)) []backends.NIC {
	backendtest.Add(f, "enp0s9", backendtest.Wire{Down: true, Slot: 9, KernelRA: true})
	n := backends.NIC{Link: f.Links[3], Role: facts.RoleBridged, Metric4: m(11), Metric6: m(11), BringUp: true, DHCP4: true, DHCP6: true, Optional: true, Why: "new"}
	for _, c := range change {
		c(&n)
	}
	return []backends.NIC{n}
}

// done makes the facts as they are after d was applied.
func done(f *facts.Facts, d provision.Desired) *facts.Facts {
	for _, w := range d.Wants {
		if w.Kind == "file" && w.Attrs["content"] != "" {
			backendtest.Put(f, w.Name, w.Attrs["content"], 0o644)
		}
	}
	for i, r := range f.Routes {
		l, _ := f.LinkByIndex(r.Link)
		for _, w := range d.Expect {
			if strings.HasSuffix(w.Name, " "+l.Selector()) && strings.HasPrefix(w.Name, "inet6 ") == r.Dst.Addr().Is6() {
				fmt.Sscan(w.Attrs["metrics"], &f.Routes[i].Metric)
			}
		}
	}
	return f
}

func TestDesire(t *testing.T) {
	source := head + "source /etc/network/interfaces.d/*\n"
	for _, c := range []struct {
		name string
		f    *facts.Facts
		nics func(f *facts.Facts) []backends.NIC
	}{
		{"dhclient", backendtest.Ifupdown("dhclient"), nics},
		{"dhcpcd", backendtest.Ifupdown("dhcpcd"), nics},
		{"dhcpcd-only-inet", with("dhcpcd", head+"auto enp0s3\niface enp0s3 inet dhcp\n"), func(f *facts.Facts) []backends.NIC {
			n := nics(f)[:1]
			n[0].Metric6 = m(1025)
			return n
		}},
		{"dhcpcd-lazy", backendtest.Ifupdown("dhcpcd"), func(f *facts.Facts) []backends.NIC {
			n := nics(f)[:1]
			n[0].Lazy = true
			return n
		}},
		{"dhcpcd-not-persistent", with("dhcpcd", head+"auto enp0s3\niface enp0s3 inet dhcp\n", "/etc/dhcpcd.conf", "hostname\n"), func(f *facts.Facts) []backends.NIC { return nics(f)[:1] }},
		{"dhclient-without-second-route", backendtest.Ifupdown("dhclient"), func(f *facts.Facts) []backends.NIC {
			f.Routes = slices.DeleteFunc(f.Routes, func(r facts.Route) bool { return r.Link == 3 && r.Dst.Addr().Is4() })
			return nics(f)[1:]
		}},
		{"static", with("", head+"auto enp0s3\niface enp0s3 inet static\n\taddress 10.0.2.15/24\n\tgateway 10.0.2.2\niface enp0s3 inet6 static\n\taddress 2001:db8::2/64\n\tgateway 2001:db8::1\n\nauto enp0s8\niface enp0s8 inet static\n\taddress 192.0.2.1/24\n"),
			func(f *facts.Facts) []backends.NIC {
				f.Clients = nil
				f.Routes = slices.DeleteFunc(f.Routes, func(r facts.Route) bool { return r.Link == 3 })
				return nics(f)
			}},
		{"vagrant", with("dhclient", source+"\n#VAGRANT-BEGIN\r\nauto enp0s8\r\niface enp0s8 inet dhcp\r\n      post-up ip route del default dev $IFACE || true\r\n#VAGRANT-END",
			"50-cloud-init", "# cloud-init\nauto enp0s3\niface enp0s3 inet dhcp\n    metric 100\n"), nics},
		{"pattern", with("dhclient", head+"auto /enp0s3*=nat\niface nat inet dhcp\nauto enp0s8\niface enp0s8 inet dhcp\n"), nics},
		{"mapping-up", with("dhclient", head+"auto enp0s3 enp0s8\nmapping enp0s3\n  script /usr/local/sbin/where\n  map home\niface home inet dhcp\niface enp0s8 inet dhcp\n"), func(f *facts.Facts) []backends.NIC {
			f.Ifupdown.State["enp0s3"] = "home"
			return nics(f)
		}},
		{"heir", with("dhclient", head+"iface base inet dhcp\n  hostname box\nauto enp0s3\niface enp0s3 inet dhcp inherits base\n"), func(f *facts.Facts) []backends.NIC { return nics(f)[:1] }},
		{"alias", with("", head+"auto enp0s3\niface enp0s3 inet static\n  address 192.0.2.2/24\nauto enp0s3:0\niface enp0s3:0 inet static\n  address 10.0.2.15/24\n  gateway 10.0.2.2\n"), func(f *facts.Facts) []backends.NIC {
			f.Clients = nil
			return nics(f)[:1]
		}},
		{"fresh-dhclient", with("dhclient", source), func(f *facts.Facts) []backends.NIC { return third(f) }},
		{"fresh-dhcpcd", with("dhcpcd", source), func(f *facts.Facts) []backends.NIC { return third(f) }},
		{"fresh-directory", with("dhclient", "source-directory interfaces.d\n"), func(f *facts.Facts) []backends.NIC { return third(f) }},
		{"fresh-only-ipv6-at-boot", with("", source), func(f *facts.Facts) []backends.NIC {
			return third(f, func(n *backends.NIC) { n.DHCP4, n.Metric4, n.Optional = false, nil, false })
		}},
		{"fresh-again-other-metric", with("dhclient", source, "provision-enp0s9", ourMark+"allow-hotplug enp0s9\niface enp0s9 inet dhcp\n    metric 11\niface enp0s9 inet6 auto\n"),
			func(f *facts.Facts) []backends.NIC {
				return third(f, func(n *backends.NIC) { n.BringUp, n.Metric4 = false, m(12) })
			}},
		{"fresh-dhcpcd-other-metric", with("dhcpcd", source, "provision-enp0s9", ourMark+"allow-hotplug enp0s9\niface enp0s9 inet dhcp\n    metric 11\n"),
			func(f *facts.Facts) []backends.NIC {
				f.Clients = append(f.Clients, facts.DHCPClient{PID: 9, Name: "dhcpcd", Link: "enp0s9"})
				return third(f, func(n *backends.NIC) { n.Metric4, n.Metric6 = m(12), m(12) })
			}},
		{"old-kernel", backendtest.Ifupdown("dhclient"), func(f *facts.Facts) []backends.NIC {
			delete(f.Links[1].Sysctl, "ipv6.ra_defrtr_metric")
			f.Machine.Kernel = "5.10.0-30-amd64"
			return nics(f)[:1]
		}},
		{"dots-and-sysvinit", with("dhclient", head+"auto enp0s3.5\niface enp0s3.5 inet dhcp\n"), func(f *facts.Facts) []backends.NIC {
			f.Machine.Init = "sysvinit"
			f.Links[1].Name, f.Links[1].Kind = "enp0s3.5", "vlan"
			f.Clients[0].Link = "enp0s3.5"
			return nics(f)[:1]
		}},
		{"offline", with("", head+"auto eth0\niface eth0 inet dhcp\n"), func(f *facts.Facts) []backends.NIC {
			f.Machine.Offline, f.Clients, f.Ifupdown.Client, f.Ifupdown.State = true, nil, "dhclient", nil
			return []backends.NIC{{Link: facts.Link{Name: "eth0"}, Metric4: m(1000), Metric6: m(1000), Why: "nat"}}
		}},
		{"alpine-ng", with("udhcpc", head+"auto enp0s3\niface enp0s3 inet dhcp\n"), func(f *facts.Facts) []backends.NIC {
			f.Ifupdown.Flavour, f.Machine.Init = "ifupdown-ng", "openrc"
			return nics(f)[:1]
		}},
		{"ng-dhcpcd", with("dhcpcd", head+"auto enp0s3\niface enp0s3 inet dhcp\n  dhcp-opts -t 5 -m 20 -q\n"), func(f *facts.Facts) []backends.NIC {
			f.Ifupdown.Flavour = "ifupdown-ng"
			return nics(f)[:1]
		}},
		{"truncated-elsewhere", with("dhclient", source+"auto enp0s3\niface enp0s3 inet dhcp\n", "x", "junk\n"), func(f *facts.Facts) []backends.NIC { return nics(f)[:1] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := c.nics(c.f)
			d, err := Backend{}.Desire(c.f, all)
			if err != nil {
				t.Fatal(err)
			}
			backendtest.Golden(t, c.name, text(d, nil), *update)
			again, err := Backend{}.Desire(done(c.f, d), all)
			if err != nil {
				t.Fatalf("a second time: %v", err)
			}
			bare := func(d provision.Desired) string {
				for i := range d.Wants {
					d.Wants[i].Via = nil
				}
				return text(provision.Desired{Wants: d.Wants, Expect: d.Expect}, nil)
			}
			if a, b := bare(d), bare(again); a != b {
				t.Errorf("wants are others when they hold:\n%s\n%s", a, b)
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	source := head + "source /etc/network/interfaces.d/*\n"
	nat := func(f *facts.Facts) []backends.NIC { return nics(f)[:1] }
	fresh := func(f *facts.Facts) []backends.NIC { return third(f) }
	for _, c := range []struct {
		name string
		f    *facts.Facts
		nics func(f *facts.Facts) []backends.NIC
		want string
	}{
		{"udhcpc", backendtest.Ifupdown("udhcpc"), nat, "/etc/network/interfaces:8: udhcpc has no metric"},
		{"running udhcpc, dhclient installed meanwhile", backendtest.Ifupdown("udhcpc"), func(f *facts.Facts) []backends.NIC {
			f.Ifupdown.Client = "dhclient"
			return nat(f)
		}, "process 500 serves it: udhcpc has no metric"},
		{"no client", with("", head+"auto enp0s3\niface enp0s3 inet dhcp\n"), func(f *facts.Facts) []backends.NIC {
			f.Clients = nil
			return nat(f)
		}, "ifup would find no DHCP client that it knows (none)"},
		{"ifupdown2", backendtest.Ifupdown("dhclient"), func(f *facts.Facts) []backends.NIC {
			f.Ifupdown.Flavour = "ifupdown2"
			return nat(f)
		}, "ifupdown2 ignores metric in DHCP stanzas"},
		{"broken line", with("dhclient", head+"auto enp0s3\niface enp0s3 inet dhcp\n\nauto\nauto x\nmetric 10\n"), nat, "/etc/network/interfaces:8: misplaced option \"metric\""},
		{"NUL", with("dhclient", head+"auto enp0s3\niface enp0s3 inet dhcp\n# \x00\n"), nat, "/etc/network/interfaces:5: NUL byte"},
		{"unreadable", backendtest.Ifupdown("dhclient"), func(f *facts.Facts) []backends.NIC {
			delete(f.Files, interfacesFile)
			f.Unreadable = []facts.Problem{{Source: interfacesFile, Reason: "permission denied"}}
			return nat(f)
		}, "cannot be read: permission denied"},
		{"masked", backendtest.Ifupdown("dhclient"), func(f *facts.Facts) []backends.NIC {
			f.Files[interfacesFile] = facts.File{Masked: true}
			return nat(f)
		}, "masked"},
		{"no file at all", backendtest.Ifupdown("dhclient"), func(f *facts.Facts) []backends.NIC {
			delete(f.Files, interfacesFile)
			return nat(f)
		}, "/etc/network/interfaces:0: no such file"},
		{"source by variable", with("dhclient", "source $X\n"+head), nat, "/etc/network/interfaces:1: cannot follow \"$X\""},
		{"loop", with("dhclient", "source ./interfaces\n"+head), nat, "files source each other more than 32 deep"},
		{"heirs", with("dhclient", "auto enp0s3\niface enp0s3 inet dhcp\niface enp0s8 inet dhcp inherits enp0s3\n"), nat, "is inherited by that of enp0s8 (/etc/network/interfaces:3)"},
		{"inherited metric", with("dhclient", "iface b inet dhcp\n metric 5\nauto enp0s3\niface enp0s3 inherits b\n"), nat, "/etc/network/interfaces:4: it inherits metric \"5\" from the stanza of b (/etc/network/interfaces:2)"},
		{"pattern for both", with("dhclient", "auto /enp*=all\niface all inet dhcp\n"), nat, "also serves enp0s8 (/enp*=all at /etc/network/interfaces:1)"},
		{"up as the same stanza", with("dhclient", "auto enp0s3=all\niface all inet dhcp\n"), func(f *facts.Facts) []backends.NIC {
			f.Ifupdown.State = map[string]string{"enp0s3": "all", "usb0": "all"}
			return nat(f)
		}, "also serves usb0 (it is up with it)"},
		{"mapping", with("dhclient", "auto enp0s3\nmapping enp*\n script /bin/choose\niface a inet dhcp\n"), func(f *facts.Facts) []backends.NIC {
			f.Ifupdown.State = nil
			return nat(f)
		}, "the mapping at /etc/network/interfaces:2 asks the script \"/bin/choose\""},
		{"mapping may choose it for another", with("dhclient", "auto enp0s3=a\niface a inet dhcp\nmapping enp0s8\n script /bin/choose\n map x a\n"), func(f *facts.Facts) []backends.NIC {
			f.Ifupdown.State = map[string]string{"enp0s3": "a"}
			return nat(f)
		}, "may choose the stanza of a for enp0s8 too"},
		{"two metric lines", with("dhclient", "iface enp0s3 inet dhcp\n metric 1\n metric 2\n"), nat, "lines 2 and 3 both set it"},
		{"command makes the route", with("", "auto enp0s3\niface enp0s3 inet manual\n up ip route add default via 10.0.2.2\n"), nat, "/etc/network/interfaces:3: the command \"ip route add default via 10.0.2.2\" makes a default route"},
		{"manual with a route from elsewhere", with("", "auto enp0s3\niface enp0s3 inet manual\n"), nat, "comes from none of its stanzas (the first is at /etc/network/interfaces:2)"},
		{"ppp", with("", "iface enp0s3 inet ppp\n"), nat, "method ppp has no metric"},
		{"nowhere, but up", with("dhclient", head), nat, "no stanza of /etc/network/interfaces or of the files it sources is for it, though it is up with 10.0.2.15/24"},
		{"dhcpcd has one metric", backendtest.Ifupdown("dhcpcd"), func(f *facts.Facts) []backends.NIC {
			n := nics(f)[1:]
			n[0].Metric6 = m(20)
			return n
		}, "one metric for both families, so it cannot have 10 for IPv4 and 20 for IPv6"},
		{"fresh: not covered", with("dhclient", head), fresh, "no source line of /etc/network/interfaces covers /etc/network/interfaces.d/provision-enp0s9: add the line \"source /etc/network/interfaces.d/*\""},
		{"fresh: covered only by *.cfg", with("dhclient", "source interfaces.d/*.cfg\n"), fresh, "no source line"},
		{"fresh: file of somebody else", with("dhclient", source, "provision-enp0s9", "# mine\n"), fresh, "exists and is not ours"},
		{"fresh: somebody's DHCP client", with("dhclient", source), func(f *facts.Facts) []backends.NIC {
			f.Clients = append(f.Clients, facts.DHCPClient{PID: 77, Name: "dhclient", Link: "enp0s9"})
			return third(f)
		}, "dhclient (process 77) serves it: somebody else brought it up"},
		{"fresh: udhcpc", with("udhcpc", source), fresh, "udhcpc has no metric"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Backend{}.Desire(c.f, c.nics(c.f))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q\n%s", err, c.want, text(d, nil))
			}
			if len(d.Wants)+len(d.Triggers) > 0 {
				t.Error("an error and wants at once")
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	f := backendtest.Ifupdown("udhcpc")
	_, err := Backend{}.Desire(f, nics(f))
	if err == nil || !strings.Contains(err.Error(), "set up enp0s3") || !strings.Contains(err.Error(), "set up enp0s8") {
		t.Errorf("got %v", err)
	}
}

func TestExplain(t *testing.T) {
	f := with("dhclient", head+"source interfaces.d/*\niface base inet dhcp\n  metric 7\n",
		"a", "auto enp0s3 /enp0s8*=lan\niface enp0s3 inet dhcp\n metric 1000\n hostname a\niface enp0s3 inet6 auto\n metric 5\niface lan inherits enp0s3\n metric 3\n",
		"b.x", "iface enp0s3 inet static\n address 192.0.2.1/24\n gateway 192.0.2.9\n", backends.SysctlPath, ourMark+"-net/ipv6/conf/enp0s3/ra_defrtr_metric = 1000\n")
	var b strings.Builder
	for _, l := range f.Links[1:] {
		for _, key := range []string{"owner", "dhcp4", "dhcp6", "metric", "hostname"} {
			for _, r := range (Backend{}).Explain(f, l, key) {
				fmt.Fprintf(&b, "%s %s = %q from %s (%s)\n", l.Name, r.Key, r.Value, r.Source, r.Note)
			}
		}
	}
	backendtest.Golden(t, "explain", b.String(), *update)
}

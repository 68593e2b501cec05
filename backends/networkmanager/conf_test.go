package networkmanager

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision/facts"
)

func nic() facts.Link {
	return facts.Link{Index: 2, Name: "eth1", MAC: "08:00:27:00:00:02", PermMAC: "08:00:27:00:00:02", ARPHRD: 1, Driver: "e1000"}
}

func TestMatches(t *testing.T) {
	for spec, want := range map[string]bool{
		"interface-name:=eth1":               true,
		"interface-name:=eth*":               false, // exact
		"interface-name:eth*":                true,
		"interface-name:eth?":                true,
		"interface-name:eth10":               false, // a prefix is another NIC
		"interface-name:~eth1":               true,
		"eth1":                               true,
		"eth10":                              false,
		"08:00:27:00:00:02":                  true,
		"mac:08:00:27:00:00:02":              true,
		"MAC:08:00:27:00:00:02":              false,
		"type:ethernet":                      true,
		"type:wifi":                          false,
		"driver:e1000":                       true,
		"driver:e1*/1.2":                     true,
		"*":                                  true,
		"*,except:interface-name:eth1":       false,
		"except:interface-name:eth1":         false,
		"except:type:wifi":                   true, // nothing but exceptions: all others
		"*,except:type:wifi,except:type:gsm": true,
		"type:wifi;interface-name:eth1":      true,
		"dhcp-plugin:internal":               false,
		"":                                   false,
		"interface-name:*t*1":                true,
		"interface-name:*t*2":                false,
		"interface-name:" + strings.Repeat("*a", 4000): false,
	} {
		if got := matches(spec, nic()); got != want {
			t.Errorf("%q: %v, want %v", spec, got, want)
		}
	}
}

func conffacts(files map[string]string) *facts.Facts {
	f := backendtest.Box()
	for p, text := range files {
		backendtest.Put(f, p, text, 0o644)
	}
	return f
}

func TestConnectionDefault(t *testing.T) {
	const key = "ipv4.route-metric"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // sources and values, the deciding one first
	}{
		{"later files win", map[string]string{
			"/etc/NetworkManager/NetworkManager.conf": "[connection]\nipv4.route-metric=1\n", "/etc/NetworkManager/conf.d/10-a.conf": "[connection-x]\nipv4.route-metric=2\n"},
			"/etc/NetworkManager/conf.d/10-a.conf:2=2 /etc/NetworkManager/NetworkManager.conf:2=1"},
		{"/usr/lib and /run come first", map[string]string{
			"/usr/lib/NetworkManager/conf.d/99-z.conf": "[connection]\nipv4.route-metric=1\n", "/run/NetworkManager/conf.d/00-a.conf": "[connection]\nipv4.route-metric=2\n",
			"/etc/NetworkManager/NetworkManager.conf": "[connection]\nipv4.route-metric=3\n"},
			"/etc/NetworkManager/NetworkManager.conf:2=3 /run/NetworkManager/conf.d/00-a.conf:2=2 /usr/lib/NetworkManager/conf.d/99-z.conf:2=1"},
		{"the same name in /etc shadows", map[string]string{
			"/usr/lib/NetworkManager/conf.d/10-a.conf": "[connection]\nipv4.route-metric=1\n", "/etc/NetworkManager/conf.d/10-a.conf": "# off\n"}, ""},
		{"within a file from top to bottom, [connection] last", map[string]string{
			"/etc/NetworkManager/conf.d/a.conf": "[connection]\nipv4.route-metric=3\n[connection-a]\nmatch-device=type:wifi\nipv4.route-metric=1\n[connection-b]\nipv4.route-metric=2\n"},
			"/etc/NetworkManager/conf.d/a.conf:7=2 /etc/NetworkManager/conf.d/a.conf:2=3"},
		{"stop-match ends the search", map[string]string{
			"/etc/NetworkManager/conf.d/b.conf": "[connection-a]\nmatch-device=eth1\nstop-match=yes\n", "/etc/NetworkManager/conf.d/a.conf": "[connection]\nipv4.route-metric=3\n"}, ""},
		{"the internal file comes last", map[string]string{
			"/var/lib/NetworkManager/NetworkManager-intern.conf": "[connection]\nipv4.route-metric=9\n", "/etc/NetworkManager/conf.d/z.conf": "[connection]\nipv4.route-metric=3\n"},
			"/var/lib/NetworkManager/NetworkManager-intern.conf:2=9 /etc/NetworkManager/conf.d/z.conf:2=3"},
	} {
		var got []string
		for _, s := range readConf(conffacts(c.files), nil).connectionDefault(nic(), key) {
			got = append(got, s.source()+"="+s.value)
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, g, c.want)
		}
	}
}

func TestNoAutoDefault(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{}, ""},
		{map[string]string{"/etc/NetworkManager/conf.d/00-server.conf": "[main]\nno-auto-default=*\n"}, "/etc/NetworkManager/conf.d/00-server.conf:2"},
		{map[string]string{"/etc/NetworkManager/conf.d/a.conf": "[main]\nno-auto-default=eth1,eth2\n", "/etc/NetworkManager/conf.d/b.conf": "[main]\nno-auto-default-=eth1\n"}, ""},
		{map[string]string{"/etc/NetworkManager/conf.d/a.conf": "[main]\nno-auto-default=eth2\n", "/etc/NetworkManager/conf.d/b.conf": "[main]\nno-auto-default+=eth1\n"}, "/etc/NetworkManager/conf.d/b.conf:2"},
		{map[string]string{"/etc/NetworkManager/conf.d/a.conf": "[main]\nno-auto-default=*\n", "/etc/NetworkManager/conf.d/b.conf": "[main]\nno-auto-default=eth7\n"}, ""},
		{map[string]string{"/var/lib/NetworkManager/no-auto-default.state": "aa:bb:cc:dd:ee:ff\n08:00:27:00:00:02\n"}, "/var/lib/NetworkManager/no-auto-default.state:2"},
	} {
		f := conffacts(c.files)
		s, off := readConf(f, nil).noAutoDefault(f, nic())
		if got := map[bool]string{true: s.source()}[off]; got != c.want {
			t.Errorf("%v: got %q, want %q", c.files, got, c.want)
		}
	}
}

func TestUnmanaged(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{map[string]string{}, ""},
		{map[string]string{"/usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf": "[keyfile]\nunmanaged-devices=*,except:type:wifi,except:type:gsm\n"}, "/usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf:2"},
		{map[string]string{"/usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf": "[keyfile]\nunmanaged-devices=*\n", "/run/NetworkManager/conf.d/10-globally-managed-devices.conf": ""}, ""},
		{map[string]string{"/etc/NetworkManager/conf.d/a.conf": "[device-x]\nmatch-device=eth1\nmanaged=0\n"}, "/etc/NetworkManager/conf.d/a.conf:3"},
		{map[string]string{"/etc/network/interfaces": "iface eth1 inet dhcp\n", "/etc/NetworkManager/NetworkManager.conf": "[main]\nplugins=ifupdown,keyfile\n[ifupdown]\nmanaged=false\n"}, "/etc/NetworkManager/NetworkManager.conf:4"},
		{map[string]string{"/etc/network/interfaces": "iface eth1 inet dhcp\n", "/etc/NetworkManager/NetworkManager.conf": "[ifupdown]\nmanaged=true\n"}, ""},
	} {
		f := conffacts(c.files)
		s, un := readConf(f, nil).unmanaged(f, nic())
		if got := map[bool]string{true: s.source()}[un]; got != c.want {
			t.Errorf("%v: got %q, want %q", c.files, got, c.want)
		}
	}
}

func TestPathFor(t *testing.T) {
	for v, want := range map[string]softPath{"1.30.6": reapplyProfile, "1.36.6": restart, "1.42.4": restart, "1.52.1": restart, "1.54.0": restart,
		"1.42.4-1+deb12u1": restart, "1:1.58.1-1": reapply, "1.58.1": reapply, "1.60.0": reapply, "2.0": reapply, "": restart, "x.y": restart, "1": restart} {
		if got := pathFor(v); got.path != want || got.why == "" {
			t.Errorf("%q: %+v, want %v", v, got, want)
		}
	}
}

func FuzzConf(f *testing.F) {
	f.Add("[connection-a]\nmatch-device=interface-name:eth*,except:eth2\nipv4.route-metric=5\nstop-match=1\n[main]\nno-auto-default=*\n", "except:type:wifi")
	f.Fuzz(func(t *testing.T, text, spec string) {
		fa := conffacts(map[string]string{"/etc/NetworkManager/conf.d/a.conf": text, "/etc/NetworkManager/NetworkManager.conf": text})
		c := readConf(fa, map[string]string{ConfPath: text})
		for _, s := range c.connectionDefault(nic(), "ipv4.route-metric") {
			if s.line < 1 || s.line > strings.Count(text, "\n")+1 {
				t.Errorf("line %d of %d", s.line, strings.Count(text, "\n")+1)
			}
		}
		c.noAutoDefault(fa, nic())
		c.unmanaged(fa, nic())
		matches(spec, nic())
	})
}

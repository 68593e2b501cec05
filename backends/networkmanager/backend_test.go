package networkmanager

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/backends/networkmanager/keyfile"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
)

// explicit is a machine whose NAT profile carries metrics of its own.
func explicit(version string) *facts.Facts {
	f := backendtest.NM(version)
	p := f.NM.Profiles[0].Path
	backendtest.Put(f, p, "# by hand\n[connection]\nid=nat\nuuid=11111111-1111-4111-8111-111111111111\ntype=ethernet\ninterface-name=enp0s3\n\n[ipv4]\nmethod=auto\nroute-metric = 50\n# keep me\n\n[ipv6]\nmethod=auto\nroute-metric=60\n\n[proxy]\n", 0o600)
	return f
}

// ignored is a machine whose second NIC leaves IPv6 to the kernel.
func ignored(version string) *facts.Facts {
	f := backendtest.NM(version)
	p := f.NM.Profiles[1].Path
	backendtest.Put(f, p, strings.Replace(f.Files[p].Text, "[ipv6]\nmethod=auto", "[ipv6]\nmethod=ignore", 1), 0o600)
	return f
}

// bare is a machine with a third NIC that has no profile.
func bare(version string, autoDefault bool) *facts.Facts {
	f := backendtest.NM(version)
	i := backendtest.Add(f, "enp0s9", backendtest.Wire{Slot: 9})
	f.NM.Devices[i] = facts.NMDevice{Managed: "managed"}
	if !autoDefault {
		backendtest.Put(f, "/etc/NetworkManager/conf.d/00-server.conf", "[main]\nno-auto-default=*\n", 0o644)
	}
	return f
}

// multi is a machine with one profile on both NICs that sets a metric itself.
func multi(version string) *facts.Facts {
	f := explicit(version)
	p := f.NM.Profiles[0]
	backendtest.Put(f, p.Path, strings.Replace(f.Files[p.Path].Text, "interface-name=enp0s3", "multi-connect=3", 1), 0o600)
	p.Interface = ""
	f.NM.Profiles = []facts.NMProfile{p}
	f.NM.Devices[3] = f.NM.Devices[2]
	return f
}

// settle reads new profiles as NetworkManager does, and activates them.
func settle(f *facts.Facts, d provision.Desired) {
	for _, w := range d.Wants {
		name, ours := strings.CutPrefix(path.Base(w.Name), "provision-")
		if !ours || path.Dir(w.Name)+"/" != etcProfiles {
			continue
		}
		k, err := keyfile.Parse([]byte(w.Attrs[file.AttrContent]))
		if err != nil {
			panic(err)
		}
		name = strings.TrimSuffix(name, ".nmconnection")
		id, _, _ := k.Get("connection", "uuid")
		l, _ := f.LinkByName(name)
		if f.NM.Devices[l.Index].UUID == "" {
			f.NM.Profiles = append(f.NM.Profiles, facts.NMProfile{ID: "provision-" + name, UUID: id, Type: "ethernet", Interface: name, Path: w.Name})
			f.NM.Devices[l.Index] = facts.NMDevice{Managed: "managed", UUID: id}
		}
	}
}

func TestConformance(t *testing.T) {
	var machines []backendtest.Machine
	for _, v := range []string{"1.30.6", "1.36.6", "1.42.4", "1.46.0", "1.52.1", "1.58.1", "2.0.0", ""} {
		name := v
		if v == "" {
			name = "unknown version"
		}
		machines = append(machines,
			backendtest.Machine{Name: name, Lossless: true, Facts: func() *facts.Facts { return backendtest.NM(v) }},
			backendtest.Machine{Name: name + ", metrics in the profile", Lossless: true, Facts: func() *facts.Facts { return explicit(v) }})
	}
	machines = append(machines,
		backendtest.Machine{Name: "kernel RA", Lossless: true, Facts: func() *facts.Facts { return ignored("1.42.4") }},
		backendtest.Machine{Name: "one profile for both NICs", Lossless: true, Facts: func() *facts.Facts { return multi("1.52.1") }},
		backendtest.Machine{Name: "one profile for both NICs, 1.30", Lossless: true, Facts: func() *facts.Facts { return multi("1.30.6") }},
		backendtest.Machine{Name: "new NIC, auto-default", Lossless: true, Facts: func() *facts.Facts { return bare("1.52.1", true) }},
		backendtest.Machine{Name: "new NIC, no auto-default", Lossless: true, Facts: func() *facts.Facts { return bare("1.52.1", false) }},
		backendtest.Machine{Name: "new NIC, no auto-default, 1.58", Lossless: true, Facts: func() *facts.Facts { return bare("1.58.1", false) }},
	)
	backendtest.Run(t, backendtest.Suite{
		New:       func() backends.Backend { return New() },
		Machines:  machines,
		LazyKinds: []string{daemon.KindNMReload, daemon.KindNMReloadConnections},
		Settle:    settle,
	})
}

// desire plans the default policy on a machine.
func desire(t *testing.T, f *facts.Facts, change func(*backends.NIC)) (provision.Desired, error) {
	t.Helper()
	owners := backends.Owners(f)
	d, err := backends.Decide(f, owners, backends.Roles(f, owners), backends.Config{}, backends.Memory{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.NICs {
		if change != nil {
			change(&d.NICs[i])
		}
	}
	return New().Desire(f, d.NICs)
}

// shape is a Desired as text: what is written, triggered, deleted and expected.
func shape(d provision.Desired) string {
	var out []string
	for _, w := range d.Wants {
		if w.Attrs[file.AttrType] == file.TypeDir {
			continue
		}
		out = append(out, w.Ref.String())
	}
	for _, t := range d.Triggers {
		out = append(out, "! "+t.Do.Kind+" "+t.Do.Args["selectors"])
	}
	return strings.Join(out, "\n")
}

func TestPaths(t *testing.T) {
	const a, b = "mac:08:00:27:00:00:02", "mac:08:00:27:00:00:03"
	const nat = "/etc/NetworkManager/system-connections/nat.nmconnection"
	prune := "daemon-route-metric:inet " + a + "\ndaemon-route-metric:inet6 " + a + "\ndaemon-route-metric:inet " + b + "\ndaemon-route-metric:inet6 " + b
	conf := "file:" + ConfPath + "\n"
	for _, c := range []struct {
		name string
		f    *facts.Facts
		lazy bool
		want string
	}{
		{"1.42: conf.d and restart", backendtest.NM("1.42.4"), false, conf + prune + "\n! nm-restart " + a + "," + b},
		{"1.58: conf.d and Reapply", backendtest.NM("1.58.1"), false, conf + prune + "\n! nm-reapply " + a + "," + b},
		{"1.30: the profile in /etc and Reapply, the one in /run by conf.d", backendtest.NM("1.30.6"), false,
			conf + "secret-file:" + nat + "\n" + prune + "\n! nm-reload-connections \n! nm-reapply " + a + "," + b},
		{"lazy", backendtest.NM("1.42.4"), true, strings.TrimSuffix(conf, "\n") + "\n! nm-reload "},
		{"metrics in the profile, 1.52", explicit("1.52.1"), false, conf + "secret-file:" + nat + "\n" + prune + "\n! nm-restart " + a + "," + b},
		{"metrics in the profile, 1.58", explicit("1.58.1"), false, conf + "secret-file:" + nat + "\n" + prune + "\n! nm-reload-connections \n! nm-reapply " + a + "," + b},
		{"kernel RA on the second NIC", ignored("1.58.1"), false, conf +
			"file:/etc/sysctl.d/90-provision.conf\nsysctl:ipv6.conf " + b + " ra_defrtr_metric\n" +
			"daemon-route-metric:inet " + a + "\ndaemon-route-metric:inet6 " + a + "\ndaemon-route-metric:inet " + b + "\n! nm-reapply " + a + "," + b + "\n! router-solicit "},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := desire(t, c.f, func(n *backends.NIC) { n.Lazy = c.lazy })
			if err != nil {
				t.Fatal(err)
			}
			if got := shape(d); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestConfFile(t *testing.T) {
	d, err := desire(t, backendtest.NM("1.58.1"), func(n *backends.NIC) { n.DemoteDNS = n.Role == facts.RoleNAT })
	if err != nil {
		t.Fatal(err)
	}
	want := facts.Marker + `

# a NAT NIC must lose against every other NIC
[connection-provision-enp0s3]
match-device=interface-name:=enp0s3
ipv4.route-metric=1000
ipv6.route-metric=1000
ipv4.dns-priority=1000
ipv6.dns-priority=1000

# uplink number 1, from first-metric 10
[connection-provision-enp0s8]
match-device=interface-name:=enp0s8
ipv4.route-metric=10
ipv6.route-metric=10
`
	if got := d.Wants[1].Attrs[file.AttrContent]; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestProfileEdit(t *testing.T) {
	d, err := desire(t, explicit("1.52.1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("route-metric = 50", "route-metric = 1000", "route-metric=60", "route-metric=1000").Replace(explicit("").Files["/etc/NetworkManager/system-connections/nat.nmconnection"].Text)
	for _, w := range d.Wants {
		if w.Kind == file.SecretKind {
			if got := w.Attrs[file.AttrContent]; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			return
		}
	}
	t.Error("the profile is not edited")
}

func TestOwnProfile(t *testing.T) {
	f := bare("1.52.1", false)
	d, err := desire(t, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text, mode string
	for _, w := range d.Wants {
		if w.Name == ProfilePath("enp0s9") {
			text, mode = w.Attrs[file.AttrContent], w.Attrs[file.AttrMode]
		}
	}
	want := facts.Marker + "\n[connection]\nid=provision-enp0s9\nuuid=" + uuid(f.Links[3]) + "\ntype=ethernet\ninterface-name=enp0s9\n\n[ipv4]\nmethod=auto\nmay-fail=true\nroute-metric=11\n\n[ipv6]\nmethod=auto\nmay-fail=true\nroute-metric=11\n"
	if text != want || mode != "0600" {
		t.Errorf("mode %s, got\n%s\nwant\n%s", mode, text, want)
	}
	kinds := ""
	for _, tr := range d.Triggers {
		kinds += tr.Do.Kind + " "
	}
	if kinds != "nm-reload-connections nm-restart " {
		t.Errorf("triggers %s", kinds)
	}
	backendtest.Put(f, ProfilePath("enp0s9"), "[connection]\nid=mine\n", 0o600)
	if _, err := desire(t, f, nil); err == nil || !strings.Contains(err.Error(), "was not written by provision") {
		t.Errorf("a foreign file of our name: %v", err)
	}
}

// Once it is up, a restart is due when our profile goes away, and so is telling NetworkManager that it is gone, first.
func TestOwnProfileTakenBack(t *testing.T) {
	f := bare("1.42.4", false)
	backendtest.Put(f, ProfilePath("enp0s9"), facts.Marker+"\n[connection]\nid=provision-enp0s9\n", 0o600)
	d, err := desire(t, f, func(n *backends.NIC) { n.BringUp = true })
	if err != nil {
		t.Fatal(err)
	}
	var due []string
	for _, tr := range d.Triggers {
		if slices.Contains(tr.On, file.SecretRef(ProfilePath("enp0s9"))) {
			due = append(due, tr.Name)
		}
	}
	if want := []string{"networkmanager-connections", "networkmanager-restart"}; !slices.Equal(due, want) {
		t.Errorf("our profile's triggers are %v, want %v", due, want)
	}
}

func TestNotesAndRefusals(t *testing.T) {
	has := func(d provision.Desired, text string) bool {
		for _, n := range d.Notes {
			if strings.Contains(n.Subject+": "+n.Text, text) {
				return true
			}
		}
		return false
	}
	t.Run("a later file wins", func(t *testing.T) {
		f := backendtest.NM("1.58.1")
		backendtest.Put(f, "/etc/NetworkManager/conf.d/95-mine.conf", "[connection]\nipv4.route-metric=5\n", 0o644)
		_, err := desire(t, f, nil)
		if err == nil || !strings.Contains(err.Error(), "/etc/NetworkManager/conf.d/95-mine.conf:2 says 5") {
			t.Errorf("got %v", err)
		}
		backendtest.Put(f, "/etc/NetworkManager/conf.d/95-mine.conf", "[connection]\nmatch-device=type:wifi\nipv4.route-metric=5\n", 0o644)
		if _, err := desire(t, f, nil); err != nil {
			t.Errorf("a file for Wi-Fi is in nobody's way: %v", err)
		}
	})
	t.Run("metrics in a /run profile", func(t *testing.T) {
		f := backendtest.NM("1.58.1")
		p := f.NM.Profiles[1].Path
		backendtest.Put(f, p, strings.Replace(f.Files[p].Text, "[ipv4]\n", "[ipv4]\nroute-metric=5\n", 1), 0o600)
		d, err := desire(t, f, nil)
		if err != nil || !has(d, "enp0s8: its profile "+p+" sets IPv4 route-metric 5 itself") {
			t.Errorf("%v %+v", err, d.Notes)
		}
	})
	t.Run("unmanaged", func(t *testing.T) {
		f := backendtest.NM("1.58.1")
		f.NM.Devices[2] = facts.NMDevice{Managed: "unmanaged"}
		backendtest.Put(f, "/etc/NetworkManager/conf.d/10-x.conf", "[keyfile]\nunmanaged-devices=interface-name:enp0s3\n", 0o644)
		v := uint32(5)
		d, err := New().Desire(f, []backends.NIC{{Link: f.Links[1], Metric4: &v}})
		if err != nil || len(d.Wants) != 0 || !has(d, "/etc/NetworkManager/conf.d/10-x.conf:2") {
			t.Errorf("%v %+v", err, d)
		}
	})
	t.Run("penalty", func(t *testing.T) {
		f := backendtest.NM("1.58.1")
		f.Routes[2].Metric = 20101
		d, err := desire(t, f, nil)
		if err != nil || !has(d, "connectivity check fails") {
			t.Errorf("%v %+v", err, d.Notes)
		}
		for _, w := range d.Wants {
			if w.Name == "inet mac:08:00:27:00:00:03" {
				t.Errorf("waits for a metric that NetworkManager will not bring: %+v", w)
			}
		}
	})
	t.Run("a profile that GKeyFile refuses", func(t *testing.T) {
		f := explicit("1.58.1")
		backendtest.Put(f, f.NM.Profiles[0].Path, "[ipv4]\n; no comment\n", 0o600)
		d, err := desire(t, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range d.Wants {
			if w.Kind == file.SecretKind {
				t.Errorf("edits a file that it did not understand: %s", w.Name)
			}
		}
	})
	t.Run("1.30: a family that the profile does not name goes to conf.d", func(t *testing.T) {
		f := backendtest.NM("1.30.6")
		p := f.NM.Profiles[0].Path
		backendtest.Put(f, p, strings.Replace(f.Files[p].Text, "\n[ipv6]\nmethod=auto\n", "", 1), 0o600)
		d, err := desire(t, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range d.Wants {
			if w.Kind == file.SecretKind && strings.Contains(w.Attrs[file.AttrContent], "[ipv6]") {
				t.Errorf("a group without a method, which NetworkManager refuses:\n%s", w.Attrs[file.AttrContent])
			}
			if w.Name == ConfPath && !strings.Contains(w.Attrs[file.AttrContent], "interface-name:=enp0s3\nipv6.route-metric=1000") {
				t.Errorf("IPv6 is nowhere:\n%s", w.Attrs[file.AttrContent])
			}
		}
	})
	t.Run("IPv6 off in the profile", func(t *testing.T) {
		f := backendtest.NM("1.58.1")
		p := f.NM.Profiles[0].Path
		backendtest.Put(f, p, strings.Replace(f.Files[p].Text, "[ipv6]\nmethod=auto", "[ipv6]\nmethod=disabled", 1), 0o600)
		d, err := desire(t, f, nil)
		if err != nil || !has(d, "switches IPv6 off") {
			t.Errorf("%v %+v", err, d.Notes)
		}
	})
	t.Run("masked facts", func(t *testing.T) {
		f := explicit("1.58.1")
		p := f.NM.Profiles[0].Path
		masked := f.Files[p]
		masked.Masked = true
		f.Files[p] = masked
		d, err := desire(t, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range d.Wants {
			if w.Kind == file.SecretKind {
				t.Error("a profile with blanked secrets would be written")
			}
		}
	})
}

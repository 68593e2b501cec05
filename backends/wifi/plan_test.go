package wifi

import (
	"flag"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/provision/facts"
)

var update = flag.Bool("update", false, "write the golden files anew")

func nets() []Network {
	return []Network{
		{SSID: "Home", Security: PSK, Key: strings.Repeat("0a", 32), Country: "DE", Priority: 10},
		{SSID: "Caf\u00e9 \"2\"", Security: Open, Hidden: true},
		{SSID: "Modern", Security: SAE, Passphrase: " sp\\ce;\"d 1 ", BSSID: "02:00:00:00:01:00"},
	}
}

// wireless gives facts a Wi-Fi device.
func wireless(f *facts.Facts) *facts.Facts {
	i := backendtest.Add(f, "wlan0", backendtest.Wire{Slot: 9})
	for n := range f.Links {
		if f.Links[n].Index == i {
			f.Links[n].DevType = "wlan"
		}
	}
	f.Wireless.Supplicant = true
	return f
}

func edit(f *facts.Facts, change func(*facts.Facts)) *facts.Facts { change(f); return f }

const bullseye = "ctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev\nupdate_config=1\nnetwork={\n\tssid=\"Home\"\n\tpsk=\"other words\"\n}\n"

func worlds() map[string]*facts.Facts {
	return map[string]*facts.Facts{
		"nm": edit(wireless(backendtest.NM("1.42.4")), func(f *facts.Facts) {
			f.NM.Devices[f.Links[len(f.Links)-1].Index] = facts.NMDevice{Managed: "managed"}
		}),
		"nm-offline": edit(backendtest.NM("1.42.4"), func(f *facts.Facts) { f.Machine.Offline = true }),
		"netplan-nm": wireless(backendtest.NetplanNM("1.52.1")),
		"netplan":    wireless(backendtest.NetplanNetworkd(257)),
		"netplan-with-id": edit(wireless(backendtest.NetplanNetworkd(257)), func(f *facts.Facts) {
			backendtest.Put(f, "/etc/netplan/60-wifi.yaml", "network:\n  version: 2\n  wifis:\n    wlan0:\n      dhcp4: true\n      access-points:\n        Office: {password: \"something\"}\n", 0o600)
			f.Netplan.Files = append(f.Netplan.Files, "/etc/netplan/60-wifi.yaml")
		}),
		"networkd": wireless(backendtest.Networkd(257)),
		"dhcpcd-bullseye": edit(wireless(backendtest.Dhcpcd("9.4.1")), func(f *facts.Facts) {
			backendtest.Put(f, "/etc/wpa_supplicant/wpa_supplicant.conf", bullseye, 0o600)
			f.Wireless.Supplicants = []facts.Supplicant{{PID: 7, Link: "wlan0", Config: "/etc/wpa_supplicant/wpa_supplicant.conf"}}
		}),
		"dhcpcd-not-running": edit(wireless(backendtest.Dhcpcd("9.4.1")), func(f *facts.Facts) {
			backendtest.Put(f, "/etc/wpa_supplicant/wpa_supplicant.conf", bullseye, 0o600)
		}),
		"dhcpcd": wireless(backendtest.Dhcpcd("10.1.0")),
		"ifupdown": edit(wireless(backendtest.Ifupdown("dhclient")), func(f *facts.Facts) {
			backendtest.Put(f, "/etc/network/interfaces.d/wlan", "allow-hotplug wlan0\niface wlan0 inet dhcp\n  wpa-conf /etc/wpa_supplicant/wpa_supplicant-wlan0.conf\n", 0o644)
		}),
		"ifupdown-theirs": edit(wireless(backendtest.Ifupdown("dhclient")), func(f *facts.Facts) {
			backendtest.Put(f, "/etc/network/interfaces.d/wlan", "allow-hotplug wlan0\niface wlan0 inet dhcp\n  wpa-conf /etc/wifi.conf\n", 0o644)
			backendtest.Put(f, "/etc/wifi.conf", bullseye, 0o600)
		}),
	}
}

func TestGoldens(t *testing.T) {
	for name, f := range worlds() {
		t.Run(name, func(t *testing.T) {
			d, targets, err := Plan(f, nets())
			if err != nil {
				t.Fatal(err)
			}
			if len(targets) != 1 || targets[0].Device != "wlan0" {
				t.Errorf("targets %+v", targets)
			}
			for _, w := range d.Wants {
				if !Owns(w.Ref) {
					t.Errorf("%s is wanted and not owned", w.Ref)
				}
			}
			backendtest.Golden(t, name, backendtest.Text(d), *update)
			if again, _, err := Plan(f, nets()); err != nil || backendtest.Text(again) != backendtest.Text(d) {
				t.Error("the second plan is another one")
			}
		})
	}
	if d, _, err := Plan(&facts.Facts{}, nil); err != nil || len(d.Wants)+len(d.Triggers) > 0 {
		t.Errorf("without networks %+v is wanted, %v", d, err)
	}
}

// What was written is not somebody else's at the next plan: it is wanted as before.
func TestStays(t *testing.T) {
	for name, f := range worlds() {
		d, _, err := Plan(f, nets())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range d.Wants {
			if text, ok := w.Attrs["content"]; ok {
				backendtest.Put(f, w.Name, text, 0o600)
				if strings.HasPrefix(w.Name, "/etc/netplan/") {
					f.Netplan.Files = append(f.Netplan.Files, w.Name)
				}
			}
		}
		again, _, err := Plan(f, nets())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(again.Wants) != len(d.Wants) {
			t.Errorf("%s: %d wants, then %d", name, len(d.Wants), len(again.Wants))
			continue
		}
		for i := range d.Wants {
			if d.Wants[i].Ref != again.Wants[i].Ref || d.Wants[i].Attrs["content"] != again.Wants[i].Attrs["content"] {
				t.Errorf("%s: %s is wanted otherwise", name, d.Wants[i].Ref)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	with := func(f *facts.Facts, change func(*facts.Facts)) *facts.Facts { return edit(wireless(f), change) }
	none := func(*facts.Facts) {}
	for name, c := range map[string]struct {
		f    *facts.Facts
		nets []Network
		want string
	}{
		"no device":                 {backendtest.NM("1.42.4"), nets(), "there is no Wi-Fi device"},
		"another kind":              {with(backendtest.NM("1.42.4"), none), []Network{{SSID: "x", Security: Open, Device: "enp0s3"}}, "enp0s3 is no Wi-Fi device: take wlan0"},
		"twice":                     {with(backendtest.NM("1.42.4"), none), append(nets(), nets()[0]), "is there twice"},
		"two countries":             {with(backendtest.NM("1.42.4"), none), append(nets(), Network{SSID: "x", Security: Open, Country: "US"}), "two countries, DE and US"},
		"iwd":                       {with(backendtest.Networkd(257), func(f *facts.Facts) { f.Wireless.IWD = true }), nets(), "iwctl station wlan0 connect"},
		"no supplicant":             {with(backendtest.Networkd(257), func(f *facts.Facts) { f.Wireless.Supplicant = false }), nets(), "install the package wpasupplicant"},
		"bytes in netplan":          {with(backendtest.NetplanNetworkd(257), none), []Network{{SSID: "\xff", Security: Open}}, "netplan cannot name the network 0xff"},
		"what netplan cannot write": {with(backendtest.NetplanNetworkd(257), none), []Network{{SSID: "x", Security: SAE, Passphrase: "a\"b#c\"d1"}}, "both \" and #"},
		"their network in netplan":  {worlds()["netplan-with-id"], []Network{{SSID: "Office", Security: Open}}, "/etc/netplan/60-wifi.yaml:7 has the network \"Office\" already"},
		"one network in a stanza": {with(backendtest.Ifupdown("dhclient"), func(f *facts.Facts) {
			backendtest.Put(f, "/etc/network/interfaces.d/wlan", "iface wlan0 inet dhcp\n  wpa-ssid Home\n  wpa-psk secret12\n", 0o600)
		}), nets(), "names its one network itself (wpa-ssid)"},
		"a stanza without": {with(backendtest.Ifupdown("dhclient"), func(f *facts.Facts) {
			backendtest.Put(f, "/etc/network/interfaces.d/wlan", "iface wlan0 inet dhcp\n", 0o600)
		}), nets(), "add the line `wpa-conf"},
		"no stanza": {with(backendtest.Ifupdown("dhclient"), none), nets(), "no stanza of /etc/network/interfaces names it"},
		"their profile": {with(backendtest.NM("1.42.4"), func(f *facts.Facts) {
			backendtest.Put(f, "/etc/NetworkManager/system-connections/provision-wifi-Home.nmconnection", "[connection]\n", 0o600)
		}), nets(), "was not written by provision"},
		"unmanaged": {with(backendtest.NM("1.42.4"), func(f *facts.Facts) {
			f.NM.Devices[f.Links[len(f.Links)-1].Index] = facts.NMDevice{Managed: "unmanaged"}
		}), nets(), "unmanaged"},
	} {
		d, _, err := Plan(c.f, c.nets)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if len(d.Wants) > 0 {
			t.Errorf("%s: something is wanted all the same", name)
		}
	}
	f := &facts.Facts{Wireless: facts.Wireless{Switches: []facts.RFKill{{Name: "phy0", Soft: true}}}}
	if got := Blocked(f); !strings.Contains(got, "rfkill unblock wifi") {
		t.Errorf("blocked: %q", got)
	}
}

func TestOthers(t *testing.T) {
	f := worlds()["netplan-with-id"]
	backendtest.Put(f, "/etc/wpa_supplicant/wpa_supplicant.conf", bullseye, 0o600)
	for name, ssid := range map[string]string{"a": "72;105;", "b": `semi\;colon\sx`} {
		p := "/etc/NetworkManager/system-connections/" + name
		backendtest.Put(f, p, "[connection]\nid="+name+"\ntype=wifi\n[wifi]\nssid="+ssid+"\n", 0o600)
		f.NM.Profiles = append(f.NM.Profiles, facts.NMProfile{ID: name, Type: "wifi", Path: p})
	}
	var got []string
	for _, o := range Others(f) {
		got = append(got, o.SSID+"@"+o.Device)
	}
	all := strings.Join(got, ",")
	for _, want := range []string{"Hi@", "semi;colon x@", "Office@wlan0", "Home@"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q has no %q", all, want)
		}
	}
}

package ifupdown

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/backends/ifupdown/interfaces"
)

// FuzzDesire plans for a hostile configuration: an error, or edited files that ifup
// reads as before but for the metric.
func FuzzDesire(f *testing.F) {
	f.Add("auto enp0s3\niface enp0s3 inet dhcp\n", "iface enp0s8 inet static\n gateway 192.0.2.1\n", uint8(0))
	f.Add("source ./interfaces\nsource-directory /etc/network/interfaces.d\n", "\x00\xff\\\n", uint8(1))
	f.Add("auto /enp*=x\niface x inherits y\nmapping *\nscript a\n", "iface y inet dhcp\r\n\\", uint8(2))
	f.Fuzz(func(t *testing.T, first, second string, which uint8) {
		machine := with([]string{"dhclient", "dhcpcd", "udhcpc", ""}[which%4], first, "x", second, "/etc/dhcpcd.conf", second)
		if which&4 != 0 {
			machine.Ifupdown.State = nil
		}
		all := nics(machine)
		for _, n := range all {
			New().Explain(machine, n.Link, "metric")
			New().Explain(machine, n.Link, "owner")
		}
		d, err := New().Desire(machine, append(all, third(machine)...))
		if err != nil {
			return
		}
		texts := map[string]string{}
		for p, file := range machine.Files {
			texts[p] = file.Text
		}
		before := interfaces.Resolve(interfacesFile, texts, nil)
		added := 0
		for _, w := range d.Wants {
			if w.Kind != "file" || w.Attrs["type"] != "file" {
				continue
			}
			if !strings.HasPrefix(w.Name, "/etc/network/") && !strings.HasPrefix(w.Name, "/etc/sysctl.d/") {
				t.Fatalf("%s would be written", w.Name)
			}
			if _, old := texts[w.Name]; !old && strings.HasPrefix(w.Name, interfacesDir) {
				added += len(interfaces.Resolve("/f", map[string]string{"/f": w.Attrs["content"]}, nil).Stanzas)
			}
			texts[w.Name] = w.Attrs["content"]
		}
		after := interfaces.Resolve(interfacesFile, texts, nil)
		if len(after.Stanzas) != len(before.Stanzas)+added || len(after.Problems) != len(before.Problems) {
			t.Fatalf("%d stanzas, %d problems; before %d, %d, and %d of ours\n%q", len(after.Stanzas), len(after.Problems), len(before.Stanzas), len(before.Problems), added, texts)
		}
	})
}

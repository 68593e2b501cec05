package vbox

import (
	"slices"
	"strings"
	"testing"
)

// Whatever VBoxManage prints, the readers end, and what they accept can be planned on.
func FuzzParse(f *testing.F) {
	f.Add("name=\"a\"\nUUID=\"u\"\nchipset=\"piix3\"\nVMState=\"running\"\nnic1=\"nat\"\nmacaddress1=\"0800273CCED0\"\nForwarding(0)=\"ssh,tcp,,2222,,22\"\nnic2=\"none\"\n")
	f.Add("\"a\" {6ebc2119-de35-467b-a695-047eb2e424f5}\n")
	f.Add("Name:            eth0\nGUID:            x\nDHCP:            Disabled\nIPAddress:       192.0.2.1\nNetworkMask:     255.255.255.0\nHardwareAddress: 0a:00:27:00:00:00\nStatus:          Up\nVBoxNetworkName: HostInterfaceNetworking-eth0\n\n")
	f.Add("NAT Networks:\n\nName:         a\nNetwork:      192.0.2.0/24\n\n1 network found\n")
	f.Add(`{"list":[{"name":"a"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := ParseMachine(text); err == nil {
			for i, n := range m.NICs {
				if n.Number < 1 || n.Attachment == "" && n.To == "" && n.MAC == "" || i > 0 && m.NICs[i-1].Number >= n.Number {
					t.Errorf("%+v", m.NICs)
				}
			}
			p, err := PlanBridge(m, []Adapter{{Name: "eth0"}}, []string{"eth0"}, 0)
			if err == nil && len(p.Steps)+len(p.Already) == 0 {
				t.Errorf("nothing is planned: %+v", p)
			}
			_, _ = PlanForward(m, 1, []Forward{{"a", "tcp", "", 1, "", 2}}, nil)
			GuestHalf(m, p, true)
		}
		if vms, err := ParseVMs(text); err == nil {
			for _, v := range vms {
				if v.Name == "" && !strings.Contains(text, `"" {`) || v.UUID == "" {
					t.Errorf("%+v", v)
				}
			}
		}
		if all, err := ParseAdapters(text); err == nil && slices.ContainsFunc(all, func(a Adapter) bool { return a.Name == "" }) {
			t.Errorf("%+v", all)
		}
		if all, err := ParseNetworks(text); err == nil && slices.ContainsFunc(all, func(n Network) bool { return n.Name == "" || !n.Prefix.IsValid() }) {
			t.Errorf("%+v", all)
		}
		_, _ = ParseMultipass(text)
	})
}

// What is accepted is a rule that VBoxManage takes apart into the same six fields.
func FuzzForward(f *testing.F) {
	for _, s := range []string{"80:80", "dns=127.0.0.1:53:53/udp", "a=0.0.0.0:1:65535/tcp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseForward(s)
		if err != nil {
			return
		}
		if b, err := parseRule(a.rule()); err != nil || a != b || strings.ContainsAny(a.rule(), "\n\x00\"") {
			t.Errorf("%q: %+v, %+v, %v", s, a, b, err)
		}
	})
}

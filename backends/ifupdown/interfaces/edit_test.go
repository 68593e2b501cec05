package interfaces

import (
	"strings"
	"testing"
)

func TestSetOption(t *testing.T) {
	for _, c := range []struct {
		name, in string
		which    int // stanza
		want     string
	}{
		{"behind the last option, with its indent",
			"auto a\niface a inet dhcp\n\thostname x\n\n# next\nauto b\n", 0,
			"auto a\niface a inet dhcp\n\thostname x\n\tmetric 10\n\n# next\nauto b\n"},
		{"indent of the neighbour",
			"iface a inet dhcp\n\niface b inet static\n  address 192.0.2.1/24\n", 0,
			"iface a inet dhcp\n  metric 10\n\niface b inet static\n  address 192.0.2.1/24\n"},
		{"no indent where options have none",
			"iface a inet dhcp\npre-up sleep 2\n", 0,
			"iface a inet dhcp\npre-up sleep 2\nmetric 10\n"},
		{"four blanks where nobody shows any", "iface a inet dhcp\n", 0, "iface a inet dhcp\n    metric 10\n"},
		{"no final newline", "iface a inet dhcp", 0, "iface a inet dhcp\n    metric 10"},
		{"no final newline, CRLF", "auto a\r\niface a inet dhcp", 0, "auto a\r\niface a inet dhcp\r\n    metric 10"},
		{"CRLF", "iface a inet dhcp\r\n\tmtu 1400\r\nauto b\r\n", 0, "iface a inet dhcp\r\n\tmtu 1400\r\n\tmetric 10\r\nauto b\r\n"},
		{"replaced in place", "iface a inet dhcp\n \tmetric \t 1000 \t\n  mtu 1400\n", 0, "iface a inet dhcp\n \tmetric \t 10 \t\n  mtu 1400\n"},
		{"replaced at the end of the file", "iface a inet dhcp\n  metric 1000", 0, "iface a inet dhcp\n  metric 10"},
		{"what looks like a comment is the value", "iface a inet dhcp\n  metric 1000 # NAT\n", 0, "iface a inet dhcp\n  metric 10\n"},
		{"a continued value becomes one line", "iface a inet dhcp\r\n  metric \\\n   1000\r\nauto a\r\n", 0, "iface a inet dhcp\r\n  metric 10\r\nauto a\r\n"},
		{"equal value: not a byte", "iface a inet dhcp\n  metric\t10\n", 0, "iface a inet dhcp\n  metric\t10\n"},
		{"only that stanza", "iface a inet dhcp\niface a inet6 auto\n  mtu 1400\n", 1, "iface a inet dhcp\niface a inet6 auto\n  mtu 1400\n  metric 10\n"},
		{"behind auto without names", "iface a inet dhcp\nauto\nmapping x\n", 0, "iface a inet dhcp\nauto\n    metric 10\nmapping x\n"},
		{"comments between options", "iface a inet dhcp\n  # one\n  mtu 1400\n  # two\niface b inet dhcp\n", 0, "iface a inet dhcp\n  # one\n  mtu 1400\n  metric 10\n  # two\niface b inet dhcp\n"},
		{"last line continued over the end: behind the iface line", "iface a inet dhcp\n  up x \\", 0, "iface a inet dhcp\n  metric 10\n  up x \\"},
		{"continued option stays whole", "iface a inet dhcp\n  up x \\\n      y\nauto a\n", 0, "iface a inet dhcp\n  up x \\\n      y\n  metric 10\nauto a\n"},
		{"broken bytes stay", "# \xff\xfe\niface a inet dhcp\n  up echo \xc3\n", 0, "# \xff\xfe\niface a inet dhcp\n  up echo \xc3\n  metric 10\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Resolve("/f", map[string]string{"/f": c.in}, nil)
			got, err := SetOption(cfg.Stanzas[c.which], "metric", "10")
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			again := Resolve("/f", map[string]string{"/f": got}, nil)
			if o, _ := again.Stanzas[c.which].Option("metric"); o.Value != "10" {
				t.Errorf("reads back as %q", o.Value)
			}
			if twice, err := SetOption(again.Stanzas[c.which], "metric", "10"); err != nil || twice != got {
				t.Errorf("a second time: %q, %v", twice, err)
			}
		})
	}
}

func TestSetOptionRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, value, want string }{
		{"two lines", "iface a inet dhcp\n metric 1\n metric 2\n", "10", "/f:1: lines 2 and 3 both set it"},
		{"iface line continued over the end", "iface a inet dhcp \\", "10", "continued over the end of the file"},
		{"newline in the value", "iface a inet dhcp\n", "10\nup reboot", "is no option line"},
		{"backslash", "iface a inet dhcp\n", `10\`, "is no option line"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Resolve("/f", map[string]string{"/f": c.in}, nil)
			text, err := SetOption(cfg.Stanzas[0], "metric", c.value)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, %v; want an error with %q", text, err, c.want)
			}
		})
	}
}

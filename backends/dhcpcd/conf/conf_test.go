package conf

import (
	"fmt"
	"strings"
	"testing"
)

const debian = "# A sample configuration for dhcpcd.\n\nhostname\nduid # persistent over reinstalls\npersistent\nvendorclassid\noption domain_name_servers, domain_name\n\tslaac private\n"

func TestSetMetric(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a block at the end", debian, debian + "\ninterface eth0\nmetric 10\n"},
		{"empty file", "", "interface eth0\nmetric 10\n"},
		{"no final newline", "persistent", "persistent\n\ninterface eth0\nmetric 10\n"},
		{"in its block, with its indent", "interface eth0\n  static ip_address=192.0.2.1/24\n\n# other\ninterface eth1\nmetric 5\n",
			"interface eth0\n  static ip_address=192.0.2.1/24\n  metric 10\n\n# other\ninterface eth1\nmetric 5\n"},
		{"empty block", "interface eth0\ninterface eth1\n", "interface eth0\nmetric 10\ninterface eth1\n"},
		{"at the end of the file", "interface eth0\n\tnoipv4ll", "interface eth0\n\tnoipv4ll\n\tmetric 10"},
		{"in place", "interface eth0\n \tmetric\t 200  # slow \nnogateway\n", "interface eth0\n \tmetric\t 10  # slow \nnogateway\n"},
		{"without a value", "interface eth0\n metric\nnogateway\n", "interface eth0\n metric 10\nnogateway\n"},
		{"the last of several", "interface eth0\nmetric 1\ninterface eth1\nmetric 2\ninterface eth0\nmetric 3\n", "interface eth0\nmetric 1\ninterface eth1\nmetric 2\ninterface eth0\nmetric 10\n"},
		{"a global one stays", "metric 7\n", "metric 7\n\ninterface eth0\nmetric 10\n"},
		{"ssid and profile blocks are others", "ssid home\nmetric 3\nprofile p\nmetric 4\n", "ssid home\nmetric 3\nprofile p\nmetric 4\n\ninterface eth0\nmetric 10\n"},
		{"quoted and escaped number signs", "interface eth0\nhostname \"a#b\" # c\nscript /x\\#y\n", "interface eth0\nhostname \"a#b\" # c\nscript /x\\#y\nmetric 10\n"},
		{"CR belongs to the name", "interface eth0\r\nmetric 5\r\n", "interface eth0\r\nmetric 5\r\n\ninterface eth0\nmetric 10\n"},
		{"broken bytes stay", "# \xff\nclientid \xfe\n", "# \xff\nclientid \xfe\n\ninterface eth0\nmetric 10\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Parse("f", c.in)
			if err != nil || f.String() != c.in {
				t.Fatalf("%v, prints %q", err, f.String())
			}
			got, err := f.SetMetric("eth0", 10)
			if err != nil || got != c.want {
				t.Fatalf("got  %q, %v\nwant %q", got, err, c.want)
			}
			again, err := Parse("f", got)
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := again.SetMetric("eth0", 10); err != nil || twice != got {
				t.Errorf("a second time: %q, %v", twice, err)
			}
		})
	}
}

func TestDenied(t *testing.T) {
	for _, c := range []struct {
		in   string
		line int // 0: dhcpcd takes it
	}{
		{"", 0},
		{"denyinterfaces wlan* eth0", 1},
		{"denyinterfaces wlan*,eth?", 1},
		{"denyinterfaces eth1\n", 0},
		{"allowinterfaces eth1\n", 1},
		{"allowinterfaces eth1\nallowinterfaces eth[!1]\n", 0},
		{"interface eth1\ndenyinterfaces eth0\n", 0},
		{"# denyinterfaces eth0\n", 0},
	} {
		f, err := Parse("f", c.in)
		if err != nil {
			t.Fatal(err)
		}
		l, denied := f.Denied("eth0")
		if denied != (c.line > 0) || denied && l.Number != c.line {
			t.Errorf("%q: %v at line %d", c.in, denied, l.Number)
		}
	}
}

func TestRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\x00c\n":                    "f:2: NUL byte",
		strings.Repeat("# x\n", MaxFile): "larger than",
	} {
		f, err := Parse("f", in)
		if err == nil || !strings.Contains(err.Error(), want) || f.String() != in {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f, _ := Parse("f", "")
	if _, err := f.SetMetric("eth0", 1<<31); err == nil {
		t.Error("a metric that dhcpcd cannot read is written")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(debian))
	f.Add([]byte("interface eth0\nmetric 5 # x\nssid a\nmetric 1\n"))
	f.Add([]byte("interface eth0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		file, err := Parse("f", text)
		if file.String() != text {
			t.Fatalf("prints %q", file.String())
		}
		file.Denied("eth0")
		if err != nil {
			return
		}
		got, err := file.SetMetric("eth0", 4711)
		if err != nil {
			return
		}
		again, err := Parse("f", got)
		if err != nil {
			t.Fatal(err)
		}
		if l, ok := again.Last("eth0", "metric"); !ok || l.Value != fmt.Sprint(4711) {
			t.Fatalf("reads back %q from %q", l.Value, got)
		}
		if twice, err := again.SetMetric("eth0", 4711); err != nil || twice != got {
			t.Fatalf("a second time: %q, %v", twice, err)
		}
	})
}

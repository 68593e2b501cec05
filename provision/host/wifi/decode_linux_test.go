package wifi

import (
	"bytes"
	"encoding/binary"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/nstest"
)

// attr is one netlink attribute as the kernel writes it.
func attr(kind uint16, data ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func u16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func element(id byte, data ...byte) []byte { return append([]byte{id, byte(len(data))}, data...) }

// rsn is an RSN element with CCMP and these suites of key management of 802.11.
func rsn(akms ...byte) []byte {
	b := []byte{1, 0, 0x00, 0x0f, 0xac, 4, 1, 0, 0x00, 0x0f, 0xac, 4, byte(len(akms)), 0}
	for _, a := range akms {
		b = append(b, 0x00, 0x0f, 0xac, a)
	}
	return element(elementRSN, append(b, 0, 0)...)
}

var wpa1 = element(elementVendor, 0x00, 0x50, 0xf2, 1, 1, 0, 0x00, 0x50, 0xf2, 2, 1, 0, 0x00, 0x50, 0xf2, 2, 1, 0, 0x00, 0x50, 0xf2, 2)

func ssid(s string) []byte { return element(elementSSID, []byte(s)...) }

// result is one scan result.
func result(status uint32, capability uint16, asked, beacon []byte) []byte {
	b := attr(bssBSSID, 2, 0, 0, 0, 0, 1)
	b = append(b, attr(2, u32(2412)...)...)
	b = append(b, attr(bssCapability, u16(capability)...)...)
	if asked != nil {
		b = append(b, attr(bssElements, asked...)...)
	}
	if beacon != nil {
		b = append(b, attr(bssBeacon, beacon...)...)
	}
	if status != 0 {
		b = append(b, attr(bssStatus, u32(status)...)...)
	}
	return bytes.Join([][]byte{attr(46, u32(77)...), attr(attrIfindex, u32(3)...), attr(attrBSS|unix.NLA_F_NESTED, b...)}, nil)
}

func TestNetworks(t *testing.T) {
	join2 := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	const private, open = 0x0411, 0x0401
	home := ssid("Home")
	for _, tc := range []struct {
		name      string
		iface     string // the interface's own word for the network
		results   [][]byte
		ssid      string
		encrypted bool
	}{
		{"in none", "", nil, "", false},
		{"WPA2", "Home", [][]byte{result(1, private, join2(home, rsn(2)), nil)}, "Home", true},
		{"WPA3", "", [][]byte{result(1, private, join2(home, rsn(8)), join2(home, rsn(8)))}, "Home", true},
		{"WPA2 and WPA3", "", [][]byte{result(1, private, nil, join2(home, rsn(2, 8, 6)))}, "Home", true},
		{"802.1X", "", [][]byte{result(1, private, join2(home, rsn(1)), nil)}, "Home", true},
		{"WPA", "", [][]byte{result(1, private, join2(home, wpa1), nil)}, "Home", true},
		{"open", "Home", [][]byte{result(1, open, home, home)}, "Home", false},
		{"WEP", "Home", [][]byte{result(1, private, home, home)}, "Home", false},
		{"OWE", "Home", [][]byte{result(1, private, join2(home, rsn(18)), nil)}, "Home", false},
		{"OWE beside PSK", "Home", [][]byte{result(1, private, join2(home, rsn(2, 18)), nil)}, "Home", false},
		{"an unknown suite", "Home", [][]byte{result(1, private, join2(home, rsn(200)), nil)}, "Home", false},
		{"not private, though it says RSN", "Home", [][]byte{result(1, open, join2(home, rsn(2)), nil)}, "Home", false},
		{"the beacon denies it", "Home", [][]byte{result(1, private, join2(home, rsn(2)), home)}, "Home", false},
		{"hidden", "Home", [][]byte{result(1, private, join2(ssid("\x00\x00\x00\x00"), rsn(2)), nil)}, "Home", true},
		{"others around", "", [][]byte{result(0, private, join2(ssid("Home"), rsn(2)), nil), result(1, open, ssid("Cafe"), nil), result(2, private, join2(ssid("x"), rsn(2)), nil)}, "Cafe", false},
		{"only others around", "", [][]byte{result(0, private, join2(home, rsn(2)), nil)}, "", false},
		{"two links, one open", "Home", [][]byte{result(1, private, join2(home, rsn(8)), nil), result(1, open, home, nil)}, "Home", false},
		{"any bytes", "", [][]byte{result(1, open, ssid("\xff\x00a"), nil)}, "\xff\x00a", false},
		{"RSN that ends early", "Home", [][]byte{result(1, private, join2(home, element(elementRSN, 1, 0)), nil)}, "Home", false},
		{"elements that end early", "Home", [][]byte{result(1, private, join2(home, rsn(2)[:9]), nil)}, "Home", false},
	} {
		s, err := decodeInterface(bytes.Join([][]byte{attr(attrIfindex, u32(3)...), attr(attrIfname, []byte("wlan0\x00")...), attr(attrIftype, u32(iftypeStation)...), attr(attrSSID, []byte(tc.iface)...)}, nil))
		if err != nil || !s.station {
			t.Fatal(s, err)
		}
		var cells []cell
		for _, r := range tc.results {
			c, err := decodeScan(r)
			if err != nil {
				t.Fatal(err)
			}
			cells = append(cells, c)
		}
		if got := join(s, cells); got != (Network{Index: 3, Name: "wlan0", SSID: tc.ssid, Encrypted: tc.encrypted}) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}

func TestBadMessages(t *testing.T) {
	for _, b := range [][]byte{attr(attrIfindex, 1), attr(attrIftype, 1, 2), attr(attrSSID, make([]byte, 33)...), {9, 0, 3, 0}} {
		if _, err := decodeInterface(b); err == nil {
			t.Errorf("%x is taken", b)
		}
	}
	if _, err := decodeScan(attr(attrBSS, 200, 0, 1, 0)); err == nil {
		t.Error("a scan result that is longer than its message is taken")
	}
	if s, err := decodeInterface(attr(attrIftype, u32(3)...)); err != nil || s.station {
		t.Error("an access point is taken for a station")
	}
}

// The numbers are those of the kernel's header.
func TestNumbersAreTheHeaders(t *testing.T) {
	text, err := os.ReadFile("/usr/include/linux/nl80211.h")
	if err != nil {
		t.Skip("skipped: no linux/nl80211.h; install linux-libc-dev")
	}
	enum := func(name string) map[string]int {
		m := regexp.MustCompile(`(?s)enum ` + name + ` \{(.*?)\n\};`).FindStringSubmatch(string(text))
		if m == nil {
			t.Fatalf("no enum %s in the header", name)
		}
		body := regexp.MustCompile(`(?s)/\*.*?\*/|(?m)^#.*$`).ReplaceAllString(m[1], "")
		out, next := map[string]int{}, 0
		for _, e := range strings.Split(body, ",") {
			name, value, given := strings.Cut(strings.TrimSpace(e), "=")
			name = strings.TrimSpace(name)
			if given {
				v := strings.TrimSpace(value)
				n, err := strconv.Atoi(v)
				if err != nil {
					n = out[v] // another name for it
				}
				out[name] = n
				if err == nil || out[v] != 0 {
					next = n + 1
				}
				continue
			}
			out[name] = next
			next++
		}
		return out
	}
	for _, tc := range []struct {
		enum, name string
		want       int
	}{
		{"nl80211_commands", "NL80211_CMD_GET_INTERFACE", cmdGetInterface}, {"nl80211_commands", "NL80211_CMD_GET_SCAN", cmdGetScan},
		{"nl80211_commands", "NL80211_CMD_REQ_SET_REG", cmdReqSetReg}, {"nl80211_commands", "NL80211_CMD_GET_REG", cmdGetReg},
		{"nl80211_attrs", "NL80211_ATTR_REG_ALPHA2", attrAlpha2}, {"nl80211_bss", "NL80211_BSS_SIGNAL_MBM", bssSignal},
		{"nl80211_attrs", "NL80211_ATTR_IFINDEX", attrIfindex}, {"nl80211_attrs", "NL80211_ATTR_IFNAME", attrIfname}, {"nl80211_attrs", "NL80211_ATTR_IFTYPE", attrIftype},
		{"nl80211_attrs", "NL80211_ATTR_BSS", attrBSS}, {"nl80211_attrs", "NL80211_ATTR_SSID", attrSSID},
		{"nl80211_bss", "NL80211_BSS_BSSID", bssBSSID}, {"nl80211_bss", "NL80211_BSS_CAPABILITY", bssCapability}, {"nl80211_bss", "NL80211_BSS_INFORMATION_ELEMENTS", bssElements},
		{"nl80211_bss", "NL80211_BSS_STATUS", bssStatus}, {"nl80211_bss", "NL80211_BSS_BEACON_IES", bssBeacon},
		{"nl80211_bss_status", "NL80211_BSS_STATUS_ASSOCIATED", statusAssociated},
		{"nl80211_iftype", "NL80211_IFTYPE_STATION", iftypeStation}, {"nl80211_iftype", "NL80211_IFTYPE_P2P_CLIENT", iftypeP2PClient},
	} {
		if got, ok := enum(tc.enum)[tc.name]; !ok || got != tc.want {
			t.Errorf("%s is %d in the header, %d here", tc.name, got, tc.want)
		}
	}
}

// The controller is asked in earnest; this machine may have no Wi-Fi.
func TestRead(t *testing.T) {
	nstest.Network(t)
	if id, err := familyID("nlctrl"); err != nil || id != unix.GENL_ID_CTRL {
		t.Errorf("the controller's own number is %d, %v", id, err)
	}
	if got, err := Read(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("in an empty namespace there is %v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(result(1, 0x0411, append(ssid("Home"), rsn(2)...), wpa1))
	f.Add(bytes.Join([][]byte{attr(attrIfindex, u32(3)...), attr(attrIfname, []byte("wlan0\x00")...), attr(attrSSID, []byte("x")...)}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err1 := decodeInterface(b)
		c, err2 := decodeScan(b)
		if err1 != nil || err2 != nil {
			return
		}
		if n := join(s, []cell{c}); n.Encrypted && !c.encrypted || len(n.SSID) > maxSSID {
			t.Fatalf("%+v of %+v", n, c)
		}
	})
}

// Whatever the elements are: who says OWE, or nothing of keys, is not known.
func FuzzElements(f *testing.F) {
	f.Add(append(ssid("Home"), rsn(2, 18)...))
	f.Add(wpa1)
	f.Fuzz(func(t *testing.T, b []byte) {
		e := decodeElements(b)
		if len(e.ssid) > maxSSID {
			t.Fatalf("%q", e.ssid)
		}
		if with := decodeElements(append(rsn(akmOWE), b...)); with.known {
			t.Fatal("OWE is taken for a network that knows its members")
		}
		if e.known && !bytes.Contains(b, []byte{0x00, 0x0f, 0xac}) && !bytes.Contains(b, []byte{0x00, 0x50, 0xf2}) {
			t.Fatal("known without any suite")
		}
	})
}

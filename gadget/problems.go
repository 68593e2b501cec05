package gadget

import (
	"fmt"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/provision-net/provision/provision/resource/usbgadget"
)

// MaxString is the length in bytes that the kernel takes for a string of a descriptor
// (USB_MAX_STRING_LEN, linux/usb/ch9.h).
const MaxString = 126

// judge collects what is wrong.
type judge struct {
	out   []Problem
	names map[string]string // of interfaces and bridges, to the path that has it
	macs  map[string]string
}

//go:noinline
func (j *judge) fail(path, format string, args ...any) {
	j.out = append(j.out, Problem{path, fmt.Sprintf(format, args...)})
}

func (j *judge) oneOf(path, value string, words ...string) {
	if value != "" && !slices.Contains(words, value) {
		j.fail(path, "%q is not one of %s", value, strings.Join(words, ", "))
	}
}

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	j := &judge{names: map[string]string{}, macs: map[string]string{}}
	gadgets := map[string]string{}
	for _, g := range c.All() {
		if g.Path == "" && reflect.ValueOf(g.Gadget).IsZero() {
			continue
		}
		if first, twice := gadgets[g.name()]; twice {
			j.fail(g.Path+"name", "%s is already the name of another gadget (%s): give each its own", g.name(), first)
		}
		gadgets[g.name()] = g.Path + "name"
		j.gadget(g)
	}
	return j.out
}

// name is the gadget's directory: where none is given, the first is called provision, the ones
// under more provision-2 and so on.
func (p Placed) name() string {
	if p.Name != "" {
		return p.Name
	}
	n, ok := strings.CutPrefix(p.Path, "more[")
	if !ok {
		return usbgadget.Name
	}
	i, _ := strconv.Atoi(strings.TrimSuffix(n, "].")) // All wrote it
	return usbgadget.Name + "-" + strconv.Itoa(i+2)
}

func (j *judge) gadget(g Placed) {
	at := g.Path
	j.oneOf(at+"profile", g.Profile, Auto, Modern, Classic, Windows, Rescue, Custom)
	j.oneOf(at+"rndis-class", g.RNDISClass, "ef/04/01", "e0/01/03")
	switch {
	case g.Profile == "":
		j.fail(at+"profile", "is missing: write for example profile: auto")
	case g.Profile == Custom && len(g.Functions) == 0:
		j.fail(at+"functions", "is missing: profile custom consists of what stands there, for example functions: [{type: ncm}]")
	case g.Profile != Custom && len(g.Functions) > 0:
		j.fail(at+"functions", "belongs to profile custom: write profile: custom, or leave it out")
	}
	if n := g.name(); !usbgadget.Owned(n) || !plain(n) || len(n) > 39 {
		j.fail(at+"name", "%q: gadgets of this program are called provision or provision-NAME, with letters, digits and -, at most 39 of them", n)
	}
	if g.UDC != "" && (!plain(strings.NewReplacer(".", "", ":", "", "_", "", "@", "").Replace(g.UDC)) || strings.HasPrefix(g.UDC, ".")) {
		j.fail(at+"udc", "%q is no name of a controller: `ls /sys/class/udc` shows them", g.UDC)
	}
	if g.LED != "" && (strings.ContainsAny(g.LED, "/ \t\n\x00") || g.LED == "." || g.LED == "..") {
		j.fail(at+"led", "%q is no name of an LED: `ls /sys/class/leds` shows them", g.LED)
	}
	j.identity(g)
	j.network(g)
	if g.Profile == Custom {
		if g.Login != nil {
			j.fail(at+"login", "is for the profiles: with custom it stands with the function, - {type: acm, login: true}")
		}
		j.functions(g)
	}
	switch {
	case g.MaxPower == nil:
	case *g.MaxPower > 500:
		j.fail(at+"max-power", "%d mA is more than the 500 that a port of USB 2 gives", *g.MaxPower)
	case *g.MaxPower < 2 && !g.SelfPowered:
		j.fail(at+"max-power", "%d mA is nothing: without self-powered: true the kernel would ask for its own default", *g.MaxPower)
	}
}

// plain holds names to what needs no quoting anywhere.
func plain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

func (j *judge) identity(g Placed) {
	at := g.Path
	for _, id := range []struct{ key, value string }{{"vendor-id", g.VendorID}, {"product-id", g.ProductID}} {
		if id.value == "" {
			continue
		}
		if _, err := hex16(id.value); err != nil {
			j.fail(at+id.key, "%q is no USB id: four hexadecimal digits such as \"0x1d6b\"", id.value)
		}
	}
	if v, err := hex16(g.VendorID); g.VendorID != "" && err == nil && v == 0 {
		j.fail(at+"vendor-id", "0 is nobody's: hosts take it for a device without ids")
	}
	for _, s := range []struct{ key, value string }{{"manufacturer", g.Manufacturer}, {"product", g.Product}, {"serial", g.Serial}} {
		if why := badString(s.value); why != "" {
			j.fail(at+s.key, "%s", why)
		}
	}
	if g.HostOUI != "" {
		if _, err := parseOUI(g.HostOUI); err != nil {
			j.fail(at+"host-oui", "%v", err)
		}
	}
}

func hex16(s string) (uint16, error) {
	v, err := strconv.ParseUint(strings.TrimPrefix(strings.ToLower(s), "0x"), 16, 16)
	return uint16(v), err
}

func badString(s string) string {
	switch {
	case len(s) > MaxString:
		return fmt.Sprintf("is %d bytes long: the kernel takes at most %d", len(s), MaxString)
	case !utf8.ValidString(s):
		return "is no UTF-8"
	case strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "has a control character"
	}
	return ""
}

// parseOUI reads the first half of a MAC address.
func parseOUI(s string) ([3]byte, error) {
	b, err := parseBytes(s, 3)
	switch {
	case err != nil:
		return [3]byte{}, fmt.Errorf("%q is not the first three bytes of a MAC address, such as 00:11:22", s)
	case b[0]&1 != 0:
		return [3]byte{}, fmt.Errorf("%s is for multicast addresses", s)
	case b[0]&2 != 0:
		return [3]byte{}, fmt.Errorf("%s is locally administered, which is what Android refuses: an organisation's own is needed", s)
	}
	return [3]byte(b), nil
}

func parseBytes(s string, n int) ([]byte, error) {
	words := strings.Split(s, ":")
	if len(words) != n {
		return nil, fmt.Errorf("%d parts", len(words))
	}
	var out []byte
	for _, w := range words {
		v, err := strconv.ParseUint(w, 16, 8)
		if err != nil || len(w) != 2 {
			return nil, fmt.Errorf("%q is no byte", w)
		}
		out = append(out, byte(v))
	}
	return out, nil
}

// mac checks an address and that nothing else has it.
func (j *judge) mac(path, s string) {
	if s == "" {
		return
	}
	b, err := parseBytes(s, 6)
	switch {
	case err != nil:
		j.fail(path, "%q is no MAC address: six bytes such as 02:00:5e:10:00:01", s)
	case b[0]&1 != 0:
		j.fail(path, "%s is a multicast address, which the kernel refuses: the first byte has to be even", s)
	case strings.Trim(s, "0:") == "":
		j.fail(path, "%s is no address", s)
	default:
		s = strings.ToLower(s)
		if first, twice := j.macs[s]; twice {
			j.fail(path, "%s is already %s: both sides of every link need their own", s, first)
		}
		j.macs[s] = path
	}
}

// iface checks the name of an interface (dev_valid_name, net/core/dev.c) and that it is the only one.
func (j *judge) iface(path, name string) {
	switch {
	case name == "":
		return
	case len(name) > 15 || !plain(strings.ReplaceAll(name, ".", "")) || name == "." || name == ".." || name == "lo" || name[0] == '-':
		j.fail(path, "%q is no name of a network interface: at most 15 letters, digits, -, _ and dots", name)
		return
	}
	if first, twice := j.names[name]; twice {
		j.fail(path, "%s is already the interface of %s: give each its own name", name, first)
	}
	j.names[name] = path
}

// parseAddress reads an address of this side.
func parseAddress(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is no address with its length: write for example 10.55.0.1/24, or auto", s)
	}
	a := p.Addr()
	switch {
	case a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback():
		return p, fmt.Errorf("%s is no address of a network interface", s)
	case a.Is4() && a.IsLinkLocalUnicast():
		return p, fmt.Errorf("%s is link-local (169.254.0.0/16), which cannot be forwarded: choose one of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", s)
	case a.IsLinkLocalUnicast():
		return p, fmt.Errorf("%s: fe80::1 is always there, and others are made by the kernel: leave it out", s)
	case a.Is4() && (p.Bits() > 30 || p.Bits() < 8):
		return p, fmt.Errorf("%s: a network of a link has a length of 8 to 30, so that there is an address for the host", s)
	case a.Is4() && (a == p.Masked().Addr() || a == last(p)):
		return p, fmt.Errorf("%s is the network's own or its broadcast address: take the one behind or before it", s)
	case a.Is6() && (p.Bits() > 64 || p.Bits() < 16):
		return p, fmt.Errorf("%s: hosts make themselves an address only in networks with a length of 64", s)
	}
	return p, nil
}

// last is the highest address of an IPv4 network.
func last(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(a)
}

// imageProblem judges the path of an image by its text alone.
func imageProblem(p string) string {
	switch {
	case p == "":
		return "is missing: the absolute path of the disk image"
	case !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsAny(p, "\n\x00"):
		return fmt.Sprintf("%q is no absolute path without detours", p)
	case p == "/boot" || strings.HasPrefix(p, "/boot/"):
		return fmt.Sprintf("%s is on the boot partition, which is never shown to a host: a copy elsewhere may be", p)
	case strings.HasPrefix(p, "/proc/") || strings.HasPrefix(p, "/sys/"):
		return fmt.Sprintf("%s is the kernel's own", p)
	}
	return ""
}

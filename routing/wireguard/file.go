package wireguard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// MaxFile is how many bytes a file of Folder may have: some thousand allowed-ips.
const MaxFile = 256 << 10

// Header is the first line of a file of Folder.
const Header = "# written by `provision wireguard`, which also takes it away\n"

// DecodeInterface reads one interface of Folder, with the keys of Interface; it has no peers, which are
// files of their own. No error has any of the text in it: it holds a secret.
func DecodeInterface(data []byte) (Interface, error) {
	var i Interface
	if err := decode(data, &i); err != nil {
		return Interface{}, fmt.Errorf("it is no interface: %w", err)
	}
	if i.Peers != nil {
		return Interface{}, errors.New("it has the key peers: each peer is a file of its own, in the folder beside it")
	}
	return i, nil
}

// DecodePeer reads one peer of Folder, with the keys of Peer. No error has any of the text in it.
func DecodePeer(data []byte) (Peer, error) {
	if p, ok := plainPeer(data); ok {
		return p, nil
	}
	var p Peer
	if err := decode(data, &p); err != nil {
		return Peer{}, fmt.Errorf("it is no peer: %w", err)
	}
	return p, nil
}

func decode(data []byte, into any) error {
	if len(data) > MaxFile {
		return fmt.Errorf("larger than %d bytes", MaxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		return errors.New("not YAML with known keys and their kinds of value, which `provision schema` lists under routing.wireguard" + line(err))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

// line is where it went wrong; the rest of what yaml.v3 says quotes the text.
func line(err error) string {
	_, after, ok := strings.Cut(err.Error(), "line ")
	n := len(after) - len(strings.TrimLeft(after, "0123456789"))
	if !ok || n == 0 {
		return ""
	}
	return " (line " + after[:n] + ")"
}

// EncodeInterface is the file of i without its peers. DecodeInterface reads the same from it.
func EncodeInterface(i Interface) []byte {
	var w writer
	w.b = append(w.b, Header...)
	w.text("private-key", i.PrivateKey)
	w.text("private-key-file", i.PrivateKeyFile)
	w.list("addresses", i.Addresses)
	w.number("listen-port", uint64(i.ListenPort))
	w.number("fwmark", uint64(i.FwMark))
	w.number("mtu", uint64(i.MTU))
	w.text("zone", i.Zone)
	if i.Management != nil {
		w.line("management", strconv.FormatBool(*i.Management))
	}
	w.list("reach", i.Reach)
	w.text("nat", i.NAT)
	w.text("route", i.Route)
	w.number("metric", uint64(i.Metric))
	w.list("dns", i.DNS)
	w.list("domains", i.Domains)
	w.text("lan-access", i.LANAccess)
	w.text("public-endpoint", i.PublicEndpoint)
	return w.bytes()
}

// EncodePeer is the file of p. DecodePeer reads the same from it.
func EncodePeer(p Peer) []byte {
	w := writer{b: make([]byte, 0, 512)} // one has about that
	w.b = append(w.b, Header...)
	w.text("public-key", p.PublicKey)
	w.text("preshared-key", p.PresharedKey)
	w.text("preshared-key-file", p.PresharedKeyFile)
	w.list("allowed-ips", p.AllowedIPs)
	w.text("endpoint", p.Endpoint)
	w.number("persistent-keepalive", uint64(p.PersistentKeepalive))
	if p.Nested {
		w.line("nested", "true")
	}
	if c := p.Client; c != nil {
		w.key("client")
		w.b[len(w.b)-1] = '\n'
		w.indent = "  "
		empty := len(w.b)
		w.text("private-key", c.PrivateKey)
		w.list("addresses", c.Addresses)
		w.list("allowed-ips", c.AllowedIPs)
		w.list("dns", c.DNS)
		w.number("mtu", uint64(c.MTU))
		w.text("endpoint", c.Endpoint)
		w.number("persistent-keepalive", uint64(c.PersistentKeepalive))
		if len(w.b) == empty {
			w.b = append(w.b[:empty-1], " {}\n"...)
		}
	}
	return w.bytes()
}

// writer writes keys that say something.
type writer struct {
	b      []byte
	indent string
	any    bool
}

// key begins a line that has a value.
func (w *writer) key(key string) {
	w.any = true
	w.b = append(append(append(w.b, w.indent...), key...), ": "...)
}

func (w *writer) line(key, value string) {
	w.key(key)
	w.b = append(append(w.b, value...), '\n')
}

func (w *writer) text(key, value string) {
	if value != "" {
		w.key(key)
		w.b = append(quote(w.b, value), '\n')
	}
}

func (w *writer) number(key string, n uint64) {
	if n != 0 {
		w.key(key)
		w.b = append(strconv.AppendUint(w.b, n, 10), '\n')
	}
}

func (w *writer) list(key string, list []string) {
	if len(list) == 0 {
		return
	}
	w.key(key)
	for i, s := range list {
		w.b = quote(append(w.b, [2]string{"[", ", "}[min(i, 1)]...), s)
	}
	w.b = append(w.b, "]\n"...)
}

func (w *writer) bytes() []byte {
	if !w.any {
		w.b = append(w.b, "{}\n"...)
	}
	return w.b
}

// quote adds a YAML string in double quotes (YAML 1.2 section 5.7); what is not UTF-8 becomes U+FFFD.
func quote(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r == 0xfffe || r == 0xffff:
			b = fmt.Appendf(b, "\\u%04x", r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

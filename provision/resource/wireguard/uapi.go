package wireguard

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"
)

// The text that a userspace device speaks on its socket: lines "key=value", keys in hexadecimal, an
// empty line at the end (https://www.wireguard.com/xplatform/).

const uapiAsk = "get=1\n\n"

// uapi is the request that carries c out.
func (c change) uapi() []byte {
	b := []byte("set=1\n")
	line := func(key, value string) {
		b = append(append(append(append(b, key...), '='), value...), '\n')
	}
	if c.privateKey != nil {
		line("private_key", hex.EncodeToString(c.privateKey[:]))
	}
	if c.listenPort != nil {
		line("listen_port", strconv.Itoa(int(*c.listenPort)))
	}
	if c.fwmark != nil {
		line("fwmark", strconv.FormatUint(uint64(*c.fwmark), 10))
	}
	if c.replacePeers {
		line("replace_peers", "true")
	}
	for _, p := range c.peers {
		line("public_key", hex.EncodeToString(p.publicKey[:]))
		if p.remove {
			line("remove", "true")
			continue
		}
		if p.updateOnly {
			line("update_only", "true")
		}
		if p.presharedKey != nil {
			line("preshared_key", hex.EncodeToString(p.presharedKey[:]))
		}
		if p.endpoint.IsValid() {
			line("endpoint", p.endpoint.String())
		}
		if p.replaceAllowed {
			line("replace_allowed_ips", "true")
		}
		for _, a := range p.allowed {
			line("allowed_ip", a.String())
		}
		// Last, as in the kernel: it sends at once.
		if p.keepalive != nil {
			line("persistent_keepalive_interval", strconv.Itoa(int(*p.keepalive)))
		}
	}
	return append(b, '\n')
}

var errUAPI = errors.New("an answer of the userspace WireGuard cannot be read")

// errno is what a userspace device refuses a request with, a number of errno(3).
type errno int

func (e errno) Error() string { return "error " + strconv.Itoa(int(e)) }

// decodeUAPI reads one answer into d, up to its empty line. A device of a thousand peers has ten thousand lines, so none of
// them is made a string before it has to be one.
func decodeUAPI(d *Device, r *bufio.Reader) error {
	p := (*Peer)(nil)
	for {
		text, err := r.ReadSlice('\n') // no line is as long as the reader's buffer
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errUAPI, err)
		}
		text = text[:len(text)-1]
		if len(text) == 0 {
			return errUAPI // errno comes before the end
		}
		key, value, _ := bytes.Cut(text, []byte("="))
		if string(key) == "errno" {
			n, err := strconv.Atoi(string(value))
			if end, e := r.ReadString('\n'); err != nil || e != nil || end != "\n" {
				return errUAPI
			}
			if n != 0 {
				return errno(max(n, -n))
			}
			break
		}
		if string(key) == "public_key" {
			d.Peers = append(d.Peers, Peer{})
			p = &d.Peers[len(d.Peers)-1]
		}
		if !line(d, p, key, value) {
			return errUAPI
		}
	}
	d.PublicKey = d.PrivateKey.Public()
	for i := range d.Peers {
		if l := d.Peers[i].AllowedIPs; l == nil || !canonical(l) {
			d.Peers[i].AllowedIPs = sorted(l)
		}
	}
	return nil
}

// line takes over one line, about p when it is one about a peer. What is not known is left out: newer
// devices say more.
func line(d *Device, p *Peer, key, value []byte) bool {
	n := func(bits int) (n uint64, ok bool) {
		n, err := strconv.ParseUint(string(value), 10, bits)
		return n, err == nil
	}
	if p == nil {
		switch string(key) {
		case "private_key":
			return parseHex(&d.PrivateKey, value)
		case "listen_port":
			v, ok := n(16)
			d.ListenPort = uint16(v)
			return ok
		case "fwmark":
			v, ok := n(32)
			d.Fwmark = uint32(v)
			return ok
		}
		return true
	}
	ok := true
	var v uint64
	switch string(key) {
	case "public_key":
		return parseHex(&p.PublicKey, value)
	case "preshared_key":
		return parseHex(&p.PresharedKey, value)
	case "endpoint":
		var err error
		p.Endpoint, err = netip.ParseAddrPort(string(value))
		return err == nil
	case "persistent_keepalive_interval":
		v, ok = n(16)
		p.PersistentKeepalive = uint16(v)
	case "last_handshake_time_sec":
		v, ok = n(62)
		if v != 0 {
			p.LastHandshake = time.Unix(int64(v), int64(p.LastHandshake.Nanosecond()))
		}
	case "last_handshake_time_nsec":
		v, ok = n(30)
		if !p.LastHandshake.IsZero() {
			p.LastHandshake = time.Unix(p.LastHandshake.Unix(), int64(v))
		}
	case "rx_bytes":
		p.Received, ok = n(64)
	case "tx_bytes":
		p.Sent, ok = n(64)
	case "allowed_ip":
		a, err := netip.ParsePrefix(string(value))
		p.AllowedIPs = append(p.AllowedIPs, a)
		return err == nil
	}
	return ok
}

func parseHex(k *Key, value []byte) bool {
	if len(value) != 2*len(k) {
		return false
	}
	_, err := hex.Decode(k[:], value)
	return err == nil
}

package wireguard

import (
	"bytes"
	"strconv"
	"strings"
)

// plainPeer reads what EncodePeer writes, as long as nobody has edited it: a thousand peers are read for
// each that is added, and YAML takes most of that time. Whether it understood is told by writing it again:
// only the same bytes count.
func plainPeer(data []byte) (Peer, bool) {
	rest, ok := strings.CutPrefix(string(data), Header)
	if !ok || len(data) > MaxFile {
		return Peer{}, false
	}
	var p Peer
	for line := range strings.Lines(rest) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			return p, false
		}
		value = strings.TrimPrefix(value, " ")
		own, of := strings.CutPrefix(key, "  ")
		switch {
		case of && p.Client == nil:
			return p, false
		case of:
			ok = p.Client.plain(own, value)
		default:
			ok = p.plain(key, value)
		}
		if !ok {
			return p, false
		}
	}
	return p, bytes.Equal(EncodePeer(p), data)
}

func (p *Peer) plain(key, value string) bool {
	ok := true
	switch key {
	case "public-key":
		p.PublicKey, ok = plainText(value)
	case "preshared-key":
		p.PresharedKey, ok = plainText(value)
	case "preshared-key-file":
		p.PresharedKeyFile, ok = plainText(value)
	case "allowed-ips":
		p.AllowedIPs, ok = plainList(value)
	case "endpoint":
		p.Endpoint, ok = plainText(value)
	case "persistent-keepalive":
		p.PersistentKeepalive, ok = plainNumber(value)
	case "nested":
		p.Nested = value == "true"
	case "client":
		p.Client = &Client{}
	default:
		return false
	}
	return ok
}

func (c *Client) plain(key, value string) bool {
	ok := true
	switch key {
	case "private-key":
		c.PrivateKey, ok = plainText(value)
	case "addresses":
		c.Addresses, ok = plainList(value)
	case "allowed-ips":
		c.AllowedIPs, ok = plainList(value)
	case "dns":
		c.DNS, ok = plainList(value)
	case "mtu":
		c.MTU, ok = plainNumber(value)
	case "endpoint":
		c.Endpoint, ok = plainText(value)
	case "persistent-keepalive":
		c.PersistentKeepalive, ok = plainNumber(value)
	default:
		return false
	}
	return ok
}

// plainText is what stands in double quotes, with nothing escaped in it.
func plainText(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' || strings.ContainsAny(s[1:len(s)-1], `"\`) {
		return "", false
	}
	return s[1 : len(s)-1], true
}

func plainList(s string) ([]string, bool) {
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' {
		return nil, false
	}
	list := strings.Split(s[1:len(s)-1], ", ")
	for n, quoted := range list {
		text, ok := plainText(quoted)
		if !ok {
			return nil, false
		}
		list[n] = text
	}
	return list, true
}

func plainNumber(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil
}

package conf

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

// Quick is the file as wg-quick takes it, hooks and all.
func (f File) Quick() []byte { return f.write(form{sep: " = ", comma: ", ", quick: true, names: true}) }

// Sync is the file as `wg syncconf` takes it: what wg-quick strip leaves of Quick, and what a peer does not
// have said outright, since wg of before 2025 leaves an old keepalive or preshared key in place.
func (f File) Sync() []byte { return f.write(form{sep: " = ", comma: ", ", outright: true}) }

// Phone is the file as the apps of iOS and Android take it: the keys that both know, and nothing else
// (WireGuardKit's TunnelConfiguration+WgQuickConfig.swift refuses any other key). What does not go in
// is left out: Lost names it.
func (f File) Phone() []byte {
	f.Interface = f.Interface.plain()
	return f.write(form{sep: " = ", comma: ", ", quick: true})
}

// Compact is Phone without a byte too many, for a QR code.
func (f File) Compact() []byte {
	f.Interface = f.Interface.plain()
	return f.write(form{sep: "=", comma: ",", quick: true, tight: true})
}

// Lost are the keys that Phone leaves out of f.
func (f File) Lost() []string {
	var out []string
	for key, has := range map[string]bool{"FwMark": f.Interface.FwMark != 0, "Table": f.Interface.Table != "", "SaveConfig": f.Interface.SaveConfig, "hooks": len(f.Interface.Hooks) > 0} {
		if has {
			out = append(out, key)
		}
	}
	return sorted(out)
}

func (i Interface) plain() Interface {
	i.FwMark, i.Table, i.SaveConfig, i.Hooks = 0, "", false, nil
	return i
}

type form struct {
	sep, comma          string
	quick, names, tight bool
	outright            bool
}

func (f File) write(as form) []byte {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			b.WriteString(key + as.sep + value + "\n")
		}
	}
	number := func(key string, n uint64) {
		if n != 0 {
			line(key, strconv.FormatUint(n, 10))
		}
	}
	i := f.Interface
	b.WriteString("[Interface]\n")
	line("PrivateKey", i.PrivateKey.String())
	number("ListenPort", uint64(i.ListenPort))
	if i.FwMark != 0 {
		line("FwMark", "0x"+strconv.FormatUint(uint64(i.FwMark), 16))
	}
	if as.quick {
		line("Address", join(i.Addresses, as.comma))
		var dns []string
		for _, a := range i.DNS {
			dns = append(dns, a.String())
		}
		line("DNS", strings.Join(append(dns, i.Search...), as.comma))
		number("MTU", uint64(i.MTU))
		line("Table", i.Table)
		if i.SaveConfig {
			line("SaveConfig", "true")
		}
		for _, h := range i.Hooks {
			line(h.Key, h.Command)
		}
	}
	for _, p := range f.Peers {
		if !as.tight {
			b.WriteByte('\n')
		}
		if as.names && p.Name != "" {
			b.WriteString("# " + p.Name + "\n")
		}
		b.WriteString("[Peer]\n")
		line("PublicKey", p.PublicKey.String())
		if none := p.PresharedKey == (wireguard.Key{}); none && as.outright {
			line("PresharedKey", base64.StdEncoding.EncodeToString(p.PresharedKey[:]))
		} else {
			line("PresharedKey", p.PresharedKey.String())
		}
		line("AllowedIPs", join(p.AllowedIPs, as.comma))
		line("Endpoint", p.Endpoint)
		number("PersistentKeepalive", uint64(p.PersistentKeepalive))
		if p.PersistentKeepalive == 0 && as.outright {
			line("PersistentKeepalive", "off")
		}
	}
	return []byte(b.String())
}

func join(list []netip.Prefix, comma string) string {
	texts := make([]string, 0, len(list))
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, comma)
}

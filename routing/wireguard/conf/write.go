package conf

import (
	"net/netip"
	"strconv"
	"strings"
)

// Quick is the file as wg-quick takes it, hooks and all.
func (f File) Quick() []byte { return f.write(form{sep: " = ", comma: ", ", quick: true, names: true}) }

// Sync is the file as `wg syncconf` takes it: what wg-quick strip leaves of Quick.
func (f File) Sync() []byte { return f.write(form{sep: " = ", comma: ", "}) }

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
		line("PresharedKey", p.PresharedKey.String())
		line("AllowedIPs", join(p.AllowedIPs, as.comma))
		line("Endpoint", p.Endpoint)
		number("PersistentKeepalive", uint64(p.PersistentKeepalive))
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

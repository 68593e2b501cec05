package dhcp4

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
)

var (
	httpClient = []byte("HTTPClient")
	ipxeClass  = []byte("iPXE")
)

// boot puts what a machine needs that starts from the network. It is told to everybody, as many boot loaders do not say
// what they are; systems do not look at it.
func (x *exchange) boot(h *wire.Header) {
	cfg := &x.n.Boot
	overHTTP := bytes.HasPrefix(x.p.Get(wire.OptVendorClass), httpClient)
	file := cfg.File
	if v := x.p.Get(wire.OptArch); len(v) >= 2 && len(v)%2 == 0 {
		// Several in order of preference (RFC 4578 section 2.1).
		for ; len(v) > 0; v = v[2:] {
			if f, ok := cfg.Arch[binary.BigEndian.Uint16(v)]; ok {
				file = f
				break
			}
		}
	}
	if x.isIPXE() {
		if cfg.IPXE != "" {
			file = cfg.IPXE
		} else if loadsIPXE(file) {
			file = "" // it would load itself for ever
		}
	}
	isURL := strings.HasPrefix(file, "http://") || strings.HasPrefix(file, "https://")
	if overHTTP && !isURL {
		return // UEFI firmware that boots over HTTP can do nothing with the name of a file
	}
	if file == "" {
		return
	}
	server := x.orSelf(cfg.Server)
	if overHTTP {
		// The UEFI specification, section 24.7.3: without this in the offer the firmware takes it for another's.
		x.b.Put(wire.OptVendorClass, httpClient)
		x.b.Put(wire.OptBootFile, []byte(file))
		return
	}
	if !isURL {
		h.SIAddr = server
	}
	if len(file) < 128 {
		h.File = []byte(file)
	} else {
		x.b.Put(wire.OptBootFile, []byte(file))
	}
	if x.wants(wire.OptBootFile, false) {
		x.b.Put(wire.OptBootFile, []byte(file))
	}
	if !isURL && x.wants(wire.OptTFTPServer, false) {
		x.b.Put(wire.OptTFTPServer, []byte(server.String()))
	}
}

// isIPXE recognises iPXE: by its user class, which older ones send as plain text and RFC 3004 wants with a length in
// front, or by its own options in 175.
func (x *exchange) isIPXE() bool {
	v := x.p.Get(wire.OptUserClass)
	return bytes.Equal(v, ipxeClass) || len(v) > 0 && bytes.Equal(v[1:], ipxeClass) || x.p.Has(wire.OptIPXE)
}

// loadsIPXE says whether a boot file is iPXE itself, by the names of its builds.
func loadsIPXE(file string) bool {
	f := strings.ToLower(file[strings.LastIndexByte(file, '/')+1:])
	return strings.Contains(f, "ipxe") || strings.HasPrefix(f, "undionly") || strings.HasPrefix(f, "snponly") || strings.HasSuffix(f, ".kpxe")
}

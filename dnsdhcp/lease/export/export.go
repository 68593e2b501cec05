// Package export writes leases for other programs: dnsmasq's lease file and hosts(5). Both are copies for old tools to
// read; nothing here reads them.
package export

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// Dnsmasq writes live leases as dnsmasq does: the end in seconds of the wall clock (0: never), hardware address, IP
// address, name and client identifier, with * for what is not known. A hardware address that is not Ethernet's has its
// type in front. Now is a reading of the clock that the leases' instants are of.
func Dnsmasq(w io.Writer, leases []lease.Lease, now clock.Reading) error {
	b := bufio.NewWriter(w)
	for _, l := range leases {
		if l.State != lease.Bound || l.Expiry <= now.Boot {
			continue
		}
		expiry := int64(0)
		if l.Expiry != lease.Forever {
			expiry = now.Wall.Add(l.Expiry.Sub(now.Boot)).Unix()
		}
		hw := orStar(octets(l.HW.Addr))
		if l.HW.Type != 1 && l.HW.Addr != "" {
			hw = fmt.Sprintf("%02x-%s", l.HW.Type, hw)
		}
		fmt.Fprintf(b, "%d %s %s %s %s\n", expiry, hw, l.Addr, orStar(label(l.Hostname)), orStar(octets(l.ClientID)))
	}
	return b.Flush()
}

// Hosts writes the names of live leases as a hosts(5) file, each with the domain, if that is not empty, and without.
func Hosts(w io.Writer, leases []lease.Lease, domain string, now clock.Reading) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "# DHCP leases, written by provision; changes are lost.")
	for _, l := range leases {
		name := label(l.Hostname)
		if l.State != lease.Bound || l.Expiry <= now.Boot || name == "" {
			continue
		}
		if domain != "" {
			name = name + "." + strings.Trim(domain, ".") + " " + name
		}
		fmt.Fprintf(b, "%s\t%s\n", l.Addr, name)
	}
	return b.Flush()
}

// label lets through what is one; names have been checked where they came in, but a line break here would forge a line.
func label(s string) string {
	for i := range len(s) {
		if c := s[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return ""
		}
	}
	return s
}

func octets(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02x", s[i])
	}
	return b.String()
}

func orStar(s string) string {
	if s == "" {
		return "*"
	}
	return s
}

// File replaces a file as a whole: whoever reads it sees the old one or the new one, also after a crash. It is 0644, as
// such files are read by everybody.
func File(path string, render func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	if err := errors.Join(render(f), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

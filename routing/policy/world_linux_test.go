package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

// Quiet makes a namespace in which addresses are usable at once.
func quiet(ns *nstest.NS, rpFilter int) {
	for _, which := range []string{"all", "default"} {
		ns.Sh(fmt.Sprintf("sysctl -qw net.ipv6.conf.%[1]s.accept_dad=0\nsysctl -qw net.ipv6.conf.%[1]s.accept_ra=0\nsysctl -qw net.ipv4.conf.%[1]s.rp_filter=%[2]d", which, rpFilter))
	}
}

// seen is what facts say of a namespace.
func seen(t *testing.T, ns *nstest.NS) *facts.Facts {
	t.Helper()
	f := &facts.Facts{Files: map[string]facts.File{}}
	var err error
	ns.Do(func() {
		var r *facts.Reader
		if r, err = facts.OpenReader(); err != nil {
			return
		}
		defer r.Close()
		var l *facts.Live
		if l, err = r.Read(t.Context(), facts.AllParts); err == nil {
			f.Links, f.Addrs, f.Routes, f.Rules = slices.Clone(l.Links), slices.Clone(l.Addrs), slices.Clone(l.Routes), slices.Clone(l.Rules)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// apply sets wants in their order and returns those that are pending.
func apply(t *testing.T, ns *nstest.NS, wants []provision.Want) (pending []string) {
	t.Helper()
	kinds := map[string]provision.Resource{route.Kind: route.Resource{}, rule.Kind: rule.Resource{}}
	ns.Do(func() {
		for _, w := range wants {
			r := kinds[w.Kind]
			if r == nil {
				continue
			}
			have, err := r.Get(t.Context(), w.Name)
			if err == nil {
				err = r.Set(t.Context(), w.Name, have, w.Attrs)
			}
			if errors.Is(err, provision.ErrPending) {
				pending = append(pending, w.Name)
			} else if err != nil {
				t.Error(err)
			}
		}
	})
	return pending
}

// revoke removes wants in the reverse order.
func revoke(t *testing.T, ns *nstest.NS, wants []provision.Want) {
	t.Helper()
	var gone []provision.Want
	for _, w := range slices.Backward(wants) {
		w.Attrs = nil
		gone = append(gone, w)
	}
	apply(t, ns, gone)
}

// pings reports whether an echo comes back; more are options of ping(8).
func pings(ns *nstest.NS, target string, more ...string) bool {
	_, err := ns.Try("ping -n -q -c 1 -W 1 " + strings.Join(more, " ") + " " + target)
	return err == nil
}

// echoes is how many echo requests a namespace has got.
func echoes(ns *nstest.NS, family int) int {
	if family == 6 {
		for line := range strings.Lines(ns.Sh("cat /proc/net/snmp6")) {
			if w := strings.Fields(line); w[0] == "Icmp6InEchos" {
				n, _ := strconv.Atoi(w[1])
				return n
			}
		}
		return 0
	}
	var names []string
	for line := range strings.Lines(ns.Sh("cat /proc/net/snmp")) {
		w := strings.Fields(line)
		if w[0] != "Icmp:" {
			continue
		}
		if names == nil {
			names = w
			continue
		}
		n, _ := strconv.Atoi(w[slices.Index(names, "InEchos")])
		return n
	}
	return 0
}

// serve answers on a TCP port of all addresses until the test ends.
func serve(t *testing.T, ns *nstest.NS, text string) {
	t.Helper()
	var l net.Listener
	var err error
	ns.Do(func() { l, err = net.Listen("tcp", "[::]:7777") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, text)
			c.Close()
		}
	}()
}

// talks reports whether a TCP connection to a server in another namespace gives its text.
func talks(ns *nstest.NS, addr, text string, mark int) bool {
	var got []byte
	ns.Do(func() {
		d := net.Dialer{Timeout: 700 * time.Millisecond, Control: func(_, _ string, c syscall.RawConn) error {
			if mark == 0 {
				return nil
			}
			var err error
			cerr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, 36 /* SO_MARK */, mark) })
			return errors.Join(cerr, err)
		}}
		c, err := d.Dial("tcp", net.JoinHostPort(addr, "7777"))
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Second))
		got, _ = io.ReadAll(c)
	})
	return bytes.Equal(got, []byte(text))
}

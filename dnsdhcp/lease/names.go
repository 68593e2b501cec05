package lease

import (
	"net/netip"
	"strings"
)

// fold makes labels comparable (RFC 4343).
func fold(label string) string { return strings.ToLower(label) }

// name gives a Bound entry the name that its client may have: its reservation's, or the one that it asks for unless
// that is reserved or another client has it. Without a new wish it keeps what it has. It returns whether the entry's
// name is another one now.
func (t *Table) name(e *entry, c Client) bool {
	before := e.Hostname
	want := c.Hostname
	if want == "" {
		want = before
	}
	got := t.nameFor(e.net, c, want)
	if named := t.names[fold(before)]; before == got && got != "" && named != nil && chained(named, e) {
		return false
	}
	t.unname(e)
	e.Hostname = got
	if got != "" {
		e.nextName = t.names[fold(got)]
		t.names[fold(got)] = e
	}
	return e.Hostname != before
}

// nameFor returns which name the client gets if it wants one. A reservation of several network cards is of one machine,
// so that all of them may have its name.
func (t *Table) nameFor(n *network, c Client, want string) string {
	if r, ok := n.reservation(c); ok && r.Name != "" {
		return r.Name
	}
	if want == "" || t.reserved[fold(want)] {
		return ""
	}
	for h := t.names[fold(want)]; h != nil; h = h.nextName {
		if h.Key != c.Key && (h.HW != c.HW || c.HW.Addr == "") { // the same machine in two networks has one name
			return ""
		}
	}
	return want
}

func chained(head, e *entry) bool {
	for ; head != nil; head = head.nextName {
		if head == e {
			return true
		}
	}
	return false
}

// unname takes an entry out of the names; its Hostname stays, to be remembered.
func (t *Table) unname(e *entry) {
	k := fold(e.Hostname)
	head := t.names[k]
	switch {
	case head == nil:
	case head == e && e.nextName == nil:
		delete(t.names, k)
	case head == e:
		t.names[k] = e.nextName
	default:
		for ; head != nil; head = head.nextName {
			if head.nextName == e {
				head.nextName = e.nextName
				break
			}
		}
	}
	e.nextName = nil
}

// Addrs returns the addresses of the clients that hold a name now; letter case does not matter.
func (t *Table) Addrs(label string) []netip.Addr { return t.AppendAddrs(nil, label) }

// AppendAddrs is Addrs into the caller's memory.
func (t *Table) AppendAddrs(to []netip.Addr, label string) []netip.Addr {
	now := t.clock.Now()
	label = fold(label)
	t.mu.RLock()
	defer t.mu.RUnlock()
	for e := t.names[label]; e != nil; e = e.nextName {
		if e.Expiry > now {
			to = append(to, e.Addr)
		}
	}
	return to
}

// Name returns the name of the client that holds an address now, if it has one.
func (t *Table) Name(addr netip.Addr) (string, bool) {
	now := t.clock.Now()
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.at(addr)
	if e == nil || e.State != Bound || e.Expiry <= now || e.Hostname == "" {
		return "", false
	}
	return e.Hostname, true
}

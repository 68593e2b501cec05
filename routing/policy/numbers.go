package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// Input is what Allocate and Plan decide from.
type Input struct {
	Facts  *facts.Facts
	Config Config
	Memory Memory
	// Names are the tables that /etc/iproute2 names (ParseTables).
	Names map[uint32]string
	// Tunnels are the devices that need a table of their own.
	Tunnels []string
	// Byways are ways that single packets take by a mark, by the name of each: a device, or what its
	// user calls it. Each gets a table and the mark that is counted like it.
	Byways []string
	// Uplinks are the NICs between which the best default route moves: they all get a table for
	// replies.
	Uplinks []string
	// Claims are uses of mark bits that facts do not show.
	Claims []Claim
}

// Numbers are what was given out.
type Numbers struct {
	// Mask are the eight bits of marks that are ours, and Direct is the mark under it of packets
	// that no tunnel takes: a tunnel's own outer packets, probes of an uplink. Both are 0 where no byte
	// is free and no tunnel needs one.
	Mask, Direct uint32
	// Detours is the first of three priorities before every other rule of ours.
	Detours uint32
	// Replies is the priority of the rules for replies.
	Replies uint32
	// Memory is what has to be remembered.
	Memory Memory
	// Notes tell what had to change.
	Notes []string

	tunnels map[string]uint32 // first of two priorities
	marked  uint32            // first of two priorities of Input.Byways
	used    map[uint32]bool   // priorities of others
	noIPv6  bool
}

// Table of an owner, 0 when it has none.
func (n Numbers) table(owner string) uint32 { return n.Memory.Tables[owner] }

func nicOwner(l facts.Link) string       { return "nic " + l.Selector() }
func tunnelOwner(device string) string   { return "tunnel " + device }
func (n Numbers) taken(prio uint32) bool { return n.used[prio] }

// Tunnel is the full tunnel through a device of Input.Tunnels.
func (n Numbers) Tunnel(device string) Tunnel {
	return Tunnel{Device: device, Mark: n.Direct, Mask: n.Mask, Table: n.table(tunnelOwner(device)), Priority: n.tunnels[device], NoIPv6: n.noIPv6}
}

// maskBytes are the bytes of a mark, those first that the fewest others use.
func maskBytes() []uint32 { return []uint32{0xff000000, 0xff0000, 0xff, 0xff00} }

// Allocate gives out numbers: those remembered, unless somebody else has taken them, else free
// ones. An error says whose bits are in the way.
func Allocate(in Input) (Numbers, error) {
	n := Numbers{Memory: Memory{Version: memoryVersion, Tables: map[string]uint32{}}, tunnels: map[string]uint32{}, used: map[uint32]bool{}}
	n.noIPv6 = !in.has(6)
	for _, r := range in.Facts.Rules {
		if foreign(r) {
			n.used[r.Priority] = true
		}
	}
	n.priorities(in)
	if err := n.mask(in); err != nil {
		return n, err
	}
	return n, n.tables(in)
}

// has reports whether the kernel knows a family. One that it knows has rules: those of its own. Where
// no rules are known at all (a mounted image) it is taken to.
func (in Input) has(family int) bool {
	return len(in.Facts.Rules) == 0 || slices.ContainsFunc(in.Facts.Rules, func(r facts.Rule) bool { return r.Family == family })
}

func (n *Numbers) priorities(in Input) {
	next := uint32(priorityDetours)
	for n.taken(next) || n.taken(next+1) || n.taken(next+2) {
		next++
	}
	n.Detours = next
	if n.Replies = priorityReplies; n.taken(n.Replies) {
		n.Replies = n.free(n.Replies)
	}
	n.marked = priorityMarked
	for n.taken(n.marked) || n.taken(n.marked+1) {
		n.marked++
	}
	next = priorityTunnels
	for _, t := range in.Tunnels {
		for n.taken(next) || n.taken(next+1) {
			next++
		}
		n.tunnels[t] = next
		next += 2
	}
}

// free is the first priority from p on that nobody else has.
func (n *Numbers) free(p uint32) uint32 {
	for n.taken(p) {
		p++
	}
	return p
}

func (n *Numbers) mask(in Input) error {
	all := slices.Concat(claims(in.Facts, in.Claims), in.Config.claims())
	clash := func(mask uint32) string {
		var who []string
		for _, c := range all {
			if c.Mask&mask != 0 {
				who = append(who, c.Who)
			}
		}
		return strings.Join(slices.Compact(slices.Sorted(slices.Values(who))), ", ")
	}
	set := func(mask uint32) {
		n.Mask, n.Direct, n.Memory.Mask = mask, mask&-mask, mask
	}
	if m := in.Config.MarkMask; m != 0 {
		if who := clash(m); who != "" {
			return fmt.Errorf("policy.mark-mask: 0x%x is used by %s: choose another byte, or leave mark-mask out", m, who)
		}
		set(m)
		return nil
	}
	list := maskBytes()
	if m := in.Memory.Mask; slices.Contains(list, m) {
		if who := clash(m); who == "" {
			set(m)
			return nil
		} else {
			n.Notes = append(n.Notes, fmt.Sprintf("the mark bits 0x%x are now used by %s as well, so others are taken", m, who))
		}
	}
	var full []string
	for _, m := range list {
		who := clash(m)
		if who == "" {
			set(m)
			return nil
		}
		full = append(full, fmt.Sprintf("0x%x by %s", m, who))
	}
	if len(in.Tunnels)+len(in.Byways) == 0 {
		// Nothing has to have a mark. What would be better with one does without.
		if in.Config.PerNICReplies {
			n.Notes = append(n.Notes, fmt.Sprintf("no byte of packet marks is free: %s; so answers of containers and forwarded ports are not kept on their NIC", strings.Join(full, "; ")))
		}
		return nil
	}
	return fmt.Errorf("no byte of packet marks is free: %s; say with policy.mark-mask which of these may be shared, after that software was told to use others", strings.Join(full, "; "))
}

// tables gives every owner a table.
func (n *Numbers) tables(in Input) error {
	taken := map[uint32]string{}
	note := func(table uint32, who string) {
		if _, ok := taken[table]; !ok && table != 0 {
			taken[table] = who
		}
	}
	for _, r := range in.Facts.Rules {
		if foreign(r) && r.Action == "lookup" {
			note(r.Table, ruleOwner(r))
		}
	}
	for _, r := range in.Facts.Routes {
		if r.Proto != facts.ProtoOurs {
			note(r.Table, fmt.Sprintf("a route of somebody else (proto %d)", r.Proto))
		}
	}
	for t, name := range in.Names {
		note(t, "the table called "+name+" in /etc/iproute2")
	}
	for _, r := range in.Config.Routes {
		note(r.Table, "the configuration")
	}
	for _, r := range in.Config.Rules {
		note(r.Table, "the configuration")
	}
	for _, p := range products() {
		for _, s := range p.tables {
			if s.last >= firstTable && s.first <= lastTable {
				for t := s.first; t <= s.last; t++ {
					note(t, p.name)
				}
			}
		}
	}
	owners := in.owners()
	mine := map[uint32]bool{}
	for _, o := range owners {
		t, ok := in.Memory.Tables[o]
		if !ok || mine[t] || t < firstTable || t > lastTable {
			continue
		}
		if who, gone := taken[t]; gone {
			n.Notes = append(n.Notes, fmt.Sprintf("table %d of %s is now used by %s as well, so it gets another one", t, o, who))
			continue
		}
		n.Memory.Tables[o], mine[t] = t, true
	}
	// What is remembered of those who are away now keeps its number.
	for o, t := range in.Memory.Tables {
		if _, ok := n.Memory.Tables[o]; !ok && !mine[t] && taken[t] == "" && t >= firstTable && t <= lastTable && !slices.Contains(owners, o) {
			n.Memory.Tables[o], mine[t] = t, true
		}
	}
	next := uint32(firstTable)
	for _, o := range owners {
		if _, ok := n.Memory.Tables[o]; ok {
			continue
		}
		for mine[next] || taken[next] != "" {
			next++
		}
		if next > lastTable {
			return fmt.Errorf("there is no table left for %s: %d to %d are all used; delete %s to forget those of devices that are gone", o, firstTable, lastTable, MemoryPath)
		}
		n.Memory.Tables[o], mine[next] = next, true
	}
	return nil
}

// owners are all that need a table now, in a fixed order.
func (in Input) owners() []string {
	var out []string
	for _, nic := range in.survey().nics() {
		out = append(out, nicOwner(nic.link))
	}
	for _, t := range in.Tunnels {
		out = append(out, tunnelOwner(t))
	}
	for _, b := range in.Byways {
		out = append(out, bywayOwner(b))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ParseTables reads a file of /etc/iproute2/rt_tables or rt_tables.d: a number and a name a line.
func ParseTables(text string, into map[uint32]string) {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		w := strings.Fields(line)
		if len(w) < 2 {
			continue
		}
		if t, err := strconv.ParseUint(w[0], 0, 32); err == nil {
			into[uint32(t)] = w[1]
		}
	}
}

package backends

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

// MemoryPath is where allotments are remembered between runs.
const MemoryPath = "/var/lib/provision/metrics.json"

// memoryVersion is the version of the file; newer ones are refused.
const memoryVersion = 1

// maxMemory bounds the file that is read back, in bytes.
const maxMemory = 1 << 20

// Memory is which place in the order of metrics each NIC was given, so that adding a
// NIC never renumbers the others. It is data: read from MemoryPath and wanted there
// as a file again.
type Memory struct {
	Version int `json:"version"`
	// Boot is the boot id in which the last NIC was added: what is new in that same
	// boot was plugged into the running machine.
	Boot string `json:"boot,omitempty"`
	// First is where the row of uplinks begins, when something that is left alone had to
	// keep winning; 0: at the default.
	First uint32 `json:"first,omitempty"`
	NICs  []Slot `json:"nics"` // in the order in which they were first seen
}

// Slot is one NIC that was seen: by its place on the bus and its permanent MAC, or by
// name when it has neither.
type Slot struct {
	Name string `json:"name"`
	Path string `json:"path,omitempty"` // ID_PATH, else the sysfs device path
	MAC  string `json:"mac,omitempty"`  // permanent
	// N is its place: the metric is first-metric + N. Nil: it has none (a NAT NIC, or
	// one that came later).
	N *uint32 `json:"n,omitempty"`
	// NAT: by its addresses it was taken for one. It stays one while it has none.
	NAT bool `json:"nat,omitempty"`
	// Late: it was plugged into the running machine and no rule names it, so it never
	// gets a better metric than those that were there.
	Late bool `json:"late,omitempty"`
}

// ParseMemory reads the file's content; empty content is an empty memory.
func ParseMemory(data []byte) (Memory, error) {
	m := Memory{Version: memoryVersion}
	if len(bytes.TrimSpace(data)) == 0 {
		return m, nil
	}
	if len(data) > maxMemory {
		return m, fmt.Errorf("cannot read %s: larger than %d bytes", MemoryPath, maxMemory)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return Memory{Version: memoryVersion}, fmt.Errorf("cannot read %s: %w", MemoryPath, err)
	}
	if m.Version > memoryVersion {
		return m, fmt.Errorf("cannot read %s: written by a newer version (%d, this one knows %d)", MemoryPath, m.Version, memoryVersion)
	}
	m.Version = memoryVersion
	return m, nil
}

// Bytes is the file's content.
func (m Memory) Bytes() []byte {
	m.Version = memoryVersion
	if m.NICs == nil {
		m.NICs = []Slot{}
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil { // strings and numbers only: cannot happen
		panic(err)
	}
	return append(data, '\n')
}

// Want is the file that keeps m.
func (m Memory) Want() provision.Want {
	return file.Want(MemoryPath, m.Bytes(), 0o600, "remembers which metric each NIC was given, so that adding one never renumbers the others")
}

// identity is what a NIC is known by. A device without hardware has no lasting MAC.
func identity(l facts.Link) Slot {
	s := Slot{Name: l.Name}
	if l.Kind == "" {
		s.Path, s.MAC = l.Udev["ID_PATH"], l.PermMAC
		if s.Path == "" {
			s.Path = strings.TrimSuffix(l.DevPath, "/net/"+l.Name)
		}
	}
	return s
}

// bind finds the slot of every link: the same place and MAC, else the same MAC (the
// card was moved), else the same place (the card was replaced, the box cloned), else
// the same name where neither is known. The result maps link index to slot number.
func (m Memory) bind(links []facts.Link) map[int]int {
	out, taken := map[int]int{}, map[int]bool{}
	fits := []func(a, b Slot) bool{
		func(a, b Slot) bool { return a.Path != "" && a.MAC != "" && a.Path == b.Path && a.MAC == b.MAC },
		func(a, b Slot) bool { return a.MAC != "" && a.MAC == b.MAC },
		func(a, b Slot) bool { return a.Path != "" && a.Path == b.Path },
		func(a, b Slot) bool {
			return a.Path == "" && a.MAC == "" && b.Path == "" && b.MAC == "" && a.Name == b.Name
		},
	}
	for _, fit := range fits {
		for _, l := range links {
			if _, done := out[l.Index]; done {
				continue
			}
			id := identity(l)
			for i, s := range m.NICs {
				if !taken[i] && fit(id, s) {
					out[l.Index], taken[i] = i, true
					break
				}
			}
		}
	}
	return out
}

// settled is how long after boot a device may appear and still count as there from
// the beginning, in microseconds of udev's USEC_INITIALIZED.
const settled = 300 * 1000 * 1000

// plugged reports whether a NIC that the memory does not know was plugged into the
// running machine. A NIC that was added while the machine was off (a second adapter in
// a Vagrantfile) is as good as one that was always there.
func (m Memory) plugged(l facts.Link, boot string) bool {
	if l.Bus == "usb" {
		return true
	}
	if at, err := strconv.ParseUint(l.Udev["USEC_INITIALIZED"], 10, 64); err == nil {
		return at > settled
	}
	return m.Boot == "" || boot == "" || m.Boot == boot
}

// busOrder compares two NICs by where they sit: by device path, the ones without a
// bus last and by name, numbers in names counting as numbers.
func busOrder(a, b facts.Link) int {
	if (a.DevPath == "") != (b.DevPath == "") {
		if a.DevPath == "" {
			return 1
		}
		return -1
	}
	return cmp.Or(strings.Compare(a.DevPath, b.DevPath), natural(a.Name, b.Name), cmp.Compare(a.Index, b.Index))
}

// natural compares names so that eth2 is before eth10.
func natural(a, b string) int {
	ta, tb := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	na, nb := strings.TrimLeft(a[len(ta):], "0"), strings.TrimLeft(b[len(tb):], "0")
	return cmp.Or(strings.Compare(ta, tb), cmp.Compare(len(na), len(nb)), strings.Compare(na, nb), strings.Compare(a, b))
}

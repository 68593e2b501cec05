package verdict

import (
	"fmt"
	"slices"
)

// Profile is what `auto` chooses from; the texts are those of gadget.profile.
type Profile string

// The profiles.
const (
	Modern  Profile = "modern"
	Classic Profile = "classic"
)

// Outcome is how a profile went with a host.
type Outcome string

// The outcomes.
const (
	Untried Outcome = ""
	Worked  Outcome = "worked"
	Failed  Outcome = "failed"
)

// Most hosts that a table holds.
const Most = 64

// After so many plugs with classic the modern profile is tried again; each failure doubles it.
const (
	firstPatience = 8
	mostPatience  = 64
)

// Entry is one host.
type Entry struct {
	Host    Host    `json:"host"`
	Label   string  `json:"label,omitempty"` // of Seen
	Modern  Outcome `json:"modern,omitempty"`
	Classic Outcome `json:"classic,omitempty"`
	// Left is how many plugs begin with classic before modern is tried again, Patience how many
	// they were when it was set.
	Left     int `json:"left,omitempty"`
	Patience int `json:"patience,omitempty"`
	// Last is the plug in which the host was seen last.
	Last uint64 `json:"last"`
}

// Table is what is known. The zero Table is an empty one. It is a value: methods that change it
// return the new one and leave the old as it was.
type Table struct {
	plugs uint64
	hosts []Entry // the last seen comes first
}

// Plugs is how many plugs there were.
func (t Table) Plugs() uint64 { return t.plugs }

// Hosts are the entries, the last seen first.
func (t Table) Hosts() []Entry { return slices.Clone(t.hosts) }

// Find is the entry of a host.
func (t Table) Find(h Host) (Entry, bool) {
	i := slices.IndexFunc(t.hosts, func(e Entry) bool { return e.Host == h })
	if i < 0 {
		return Entry{}, false
	}
	return t.hosts[i], true
}

// Start is the profile that the next plug begins with, and why. classic tells whether the
// configuration allows it.
func (t Table) Start(classic bool) (Profile, string) {
	if len(t.hosts) == 0 {
		return Modern, "no host is known yet"
	}
	e := t.hosts[0]
	who := "the host that was seen last (" + e.Name() + ")"
	switch {
	case e.Modern != Failed || e.Classic != Worked:
		if e.Modern == Worked {
			return Modern, who + " can use it"
		}
		return Modern, "it was never tried with " + who
	case !classic:
		return Modern, who + " needs the classic one, which the configuration does not allow"
	case e.Left <= 0:
		return Modern, fmt.Sprintf("it is tried again with %s, after %d plugs", who, e.Patience)
	}
	return Classic, who + " was silent on the modern one"
}

// Name is for people: "windows, 0a1b2c3d".
func (e Entry) Name() string {
	short := string(e.Host[:min(len(e.Host), 8)])
	if e.Label == "" {
		return short
	}
	return e.Label + ", " + short
}

// Plugged counts a plug that begins with p. Where that is classic, the host that it was chosen for
// has one try less left.
func (t Table) Plugged(p Profile) Table {
	t.hosts = slices.Clone(t.hosts)
	t.plugs++
	if p == Classic && len(t.hosts) > 0 && t.hosts[0].Left > 0 {
		t.hosts[0].Left--
	}
	return t
}

// Spoke records that a host spoke on a profile. silent tells that the modern profile was tried
// before in this plug, and nobody spoke. A host without a fingerprint changes nothing.
func (t Table) Spoke(h Host, label string, p Profile, silent bool) Table {
	if !h.valid() {
		return t
	}
	e, known := t.Find(h)
	if !known {
		e = Entry{Host: h}
	}
	e.Label, e.Last = clip(label), t.plugs
	switch {
	case p == Modern:
		e.Modern, e.Left, e.Patience = Worked, 0, 0
	case p == Classic:
		e.Classic = Worked
		if silent {
			e.Patience = min(max(2*e.Patience, firstPatience), mostPatience)
			e.Modern, e.Left = Failed, e.Patience
		}
	default:
		return t
	}
	hosts := make([]Entry, 0, min(len(t.hosts)+1, Most))
	hosts = append(hosts, e)
	for _, o := range t.hosts {
		if o.Host != h && len(hosts) < Most {
			hosts = append(hosts, o)
		}
	}
	t.hosts = hosts
	return t
}

const maxLabel = 32

// clip keeps of a label what is printable and short.
func clip(s string) string {
	out := make([]byte, 0, maxLabel)
	for i := 0; i < len(s) && len(out) < maxLabel; i++ {
		if labelByte(s[i]) {
			out = append(out, s[i])
		}
	}
	return string(out)
}

func labelByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.'
}

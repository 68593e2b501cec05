package lists

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/lists/span"
)

// AttemptsFile is in Dir: what came of the last attempts.
const AttemptsFile = "attempts.json"

// Attempt is the last attempt to refresh a list.
type Attempt struct {
	At      time.Time `json:"at"`
	Failed  int       `json:"failed,omitempty"` // attempts in a row
	Problem string    `json:"problem,omitempty"`
	Note    string    `json:"note,omitempty"`
}

// Attempts are those of all lists, by name.
type Attempts map[string]Attempt

// ParseAttempts reads AttemptsFile; what cannot be read is no attempt.
func ParseAttempts(text []byte) Attempts {
	out := Attempts{}
	if json.Unmarshal(text, &out) != nil {
		return Attempts{}
	}
	return out
}

// Bytes is the file's content.
func (a Attempts) Bytes() []byte {
	text, err := json.MarshalIndent(a, "", " ")
	if err != nil { // plain data
		panic(err)
	}
	return append(text, '\n')
}

// After is what is known after an attempt; lists that are not there any more are forgotten.
func (a Attempts) After(c Config, got map[string]Outcome, now time.Time) Attempts {
	out := Attempts{}
	for n := range c {
		if at, ok := a[n]; ok {
			out[n] = at
		}
	}
	for n, o := range got {
		at := Attempt{At: now, Note: o.Note}
		if o.Err != nil {
			at.Failed, at.Problem = a[n].Failed+1, o.Err.Error()
		}
		out[n] = at
	}
	return out
}

const (
	firstAgain = time.Minute
	lastAgain  = 6 * time.Hour
)

func (l List) every() time.Duration { return duration(l.Refresh, 24*time.Hour) }

func (l List) maxAge() time.Duration { return duration(l.MaxAge, 14*24*time.Hour) }

// Lingers is how much longer than its answer an address stays listed.
func (l List) Lingers() time.Duration { return duration(l.Linger, time.Hour) }

func duration(text string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return otherwise
}

// Due says which lists want to be refreshed now, and when the next one will; zero: none ever. After a
// failure it is tried again in a minute, and then at ever longer distances. A time in the future means that
// a clock was wrong.
func (c Config) Due(copies map[string]Copy, at Attempts, now time.Time) (names []string, next time.Time) {
	for _, n := range c.Names() {
		l := c[n]
		if !l.Fetched() {
			continue
		}
		when := now
		if cp, ok := copies[n]; ok && cp.Spec == l.Spec() && !cp.Made.After(now) {
			when = cp.Made.Add(l.every())
		}
		if a, ok := at[n]; ok && a.Failed > 0 && !a.At.After(now) {
			again := lastAgain
			if a.Failed < 10 {
				again = min(firstAgain<<(a.Failed-1), lastAgain)
			}
			if t := a.At.Add(min(again, l.every())); t.After(when) {
				when = t
			}
		}
		if !when.After(now) {
			names = append(names, n)
		} else if next.IsZero() || when.Before(next) {
			next = when
		}
	}
	return names, next
}

// Refill puts the lists' addresses into the sets that a table has for them, and says which were changed:
// everything else of the table, and what was learnt, stays. Sets that are not of a list are left alone.
func Refill(t nft.Table, sets map[string]span.Set) (nft.Table, []string) {
	var changed []string
	t.Sets = slices.Clone(t.Sets)
	for i := range t.Sets {
		for n, s := range sets {
			for _, family := range []int{4, 6} {
				if t.Sets[i].Name != SetName(n, family) || t.Sets[i].Learnt {
					continue
				}
				now := t.Sets[i]
				now.Elements, now.Count, now.SHA256 = Elements(s, family), 0, ""
				if !sameElements(t.Sets[i], now) {
					t.Sets[i] = now
					changed = append(changed, now.Name)
				}
			}
		}
	}
	slices.Sort(changed)
	return t, changed
}

// sameElements compares sets as a table's text tells them: large ones by their digest.
func sameElements(a, b nft.Set) bool {
	line := func(s nft.Set) string {
		return nft.Format(nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable, Sets: []nft.Set{s}})
	}
	return line(a) == line(b)
}

// Status is what a person wants to know of a list.
type Status struct {
	Name      string    `json:"name"`
	Uplink    string    `json:"uplink,omitempty"`
	Sources   []string  `json:"sources"`
	Domains   int       `json:"domains"`
	Entries   int       `json:"entries"`
	Ranges    int       `json:"ranges"`
	Addresses uint64    `json:"ipv4_addresses"`
	Networks  uint64    `json:"ipv6_64s"`
	Made      time.Time `json:"made,omitzero"`
	Data      time.Time `json:"data,omitzero"`
	Problems  []string  `json:"problems"`
	Note      string    `json:"note,omitempty"`
}

// Report says how the lists stand.
func (c Config) Report(rules Smart, copies map[string]Copy, at Attempts, now time.Time) []Status {
	sets := c.Sets(copies)
	out := []Status{}
	for _, n := range c.Names() {
		l := c[n]
		s := Status{Name: n, Uplink: rules.uplinkOf(n), Sources: l.Where(), Domains: len(l.Domains), Problems: []string{}, Note: at[n].Note,
			Entries: len(l.Addresses), Ranges: sets[n].Runs(4) + sets[n].Runs(6), Addresses: sets[n].Count4(), Networks: sets[n].Count6()}
		if s.Sources == nil {
			s.Sources = []string{}
		}
		cp, ok := copies[n]
		switch {
		case !l.Fetched():
		case !ok || cp.Spec != l.Spec():
			s.Problems = append(s.Problems, "there is no copy of it yet, so nothing goes its way")
		default:
			s.Entries, s.Made, s.Data = s.Entries+cp.Entries, cp.Made, cp.Data
			if age := now.Sub(cp.Made); age > l.maxAge() {
				s.Problems = append(s.Problems, fmt.Sprintf("the copy is %d days old (max-age): it is used all the same", int(age.Hours()/24)))
			} else if age := now.Sub(cp.Data); !cp.Data.IsZero() && age > l.maxAge() {
				s.Problems = append(s.Problems, fmt.Sprintf("what the registries publish is %d days old: do the URLs still hold?", int(age.Hours()/24)))
			}
		}
		if p := at[n].Problem; p != "" {
			s.Problems = append(s.Problems, p)
		}
		out = append(out, s)
	}
	return out
}

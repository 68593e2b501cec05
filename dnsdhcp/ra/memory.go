package ra

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// stored is the value under a link's key: JSON, as people will look at it when something is odd. Times are in seconds.
type stored struct {
	Version  int            `json:"version"`
	Boot     string         `json:"boot"`   // the boot it was written in, and when on its clock
	At       int64          `json:"at"`     //
	Wall     int64          `json:"wall"`   // the same by the wall clock, seconds since 1970
	Synced   bool           `json:"synced"` // it was right
	Prefixes []storedPrefix `json:"prefixes"`
}

type storedPrefix struct {
	Prefix     netip.Prefix `json:"prefix"`
	OnLink     bool         `json:"on-link,omitempty"`
	Autonomous bool         `json:"autonomous,omitempty"`
	Delegation bool         `json:"preferred-delegation,omitempty"`
	Deprecated bool         `json:"deprecated,omitempty"`
	Left       int64        `json:"left"` // -1: infinite
	LetGo      int64        `json:"let-go,omitempty"`
}

const maxStored = 2 * maxPrefixes

// encode turns what a machine wants saved into bytes.
func encode(list []Saved, r clock.Reading) []byte {
	secs := func(d time.Duration) int64 {
		if d == Infinite {
			return -1
		}
		return int64(seconds(d))
	}
	s := stored{
		Version: 1, Boot: r.BootID, At: int64(time.Duration(r.Boot) / time.Second),
		Wall: r.Wall.Unix(), Synced: r.Synced, Prefixes: []storedPrefix{},
	}
	for _, p := range list[:min(len(list), maxStored)] {
		s.Prefixes = append(s.Prefixes, storedPrefix{
			Prefix: p.Prefix.Prefix, OnLink: p.OnLink, Autonomous: p.Autonomous, Delegation: p.PreferredDelegation,
			Deprecated: p.Deprecated, Left: secs(p.Left), LetGo: secs(p.LetGo),
		})
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain strings and figures
	}
	return b
}

// decode is its inverse. Time that has passed since counts against what is left only where it is known: on the clock of
// the same boot, or by wall clocks that are right at both ends. Else the machine may have been off for a second or for a
// year, and hosts that hold a dead prefix are worse than one announcement too many (RFC 9096 section 3.5).
func decode(b []byte, r clock.Reading) ([]Saved, error) {
	if len(b) > MaxSaved {
		return nil, fmt.Errorf("cannot read remembered prefixes: %d bytes are too many", len(b))
	}
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("cannot read remembered prefixes: %w", err)
	}
	if s.Version != 1 {
		return nil, fmt.Errorf("cannot read remembered prefixes: version %d is not known", s.Version)
	}
	if len(s.Prefixes) > maxStored {
		return nil, fmt.Errorf("cannot read remembered prefixes: %d are too many", len(s.Prefixes))
	}
	var passed int64
	switch {
	case s.Boot == r.BootID && s.Boot != "":
		passed = int64(time.Duration(r.Boot)/time.Second) - s.At
	case s.Synced && r.Synced:
		passed = r.Wall.Unix() - s.Wall
	}
	passed = max(0, passed)

	var out []Saved
	var errs []error
	for _, p := range s.Prefixes {
		if !isPrefix6(p.Prefix) || p.Left < -1 || p.Left >= 1<<32-1 || p.LetGo < 0 || p.LetGo > int64(twoHours/time.Second) {
			errs = append(errs, fmt.Errorf("cannot use remembered prefix %v: its figures make no sense", p.Prefix))
			continue
		}
		left := Infinite
		if p.Left >= 0 {
			if p.Deprecated {
				p.Left = max(0, p.Left-passed)
			}
			left = time.Duration(p.Left) * time.Second
		}
		if left == 0 {
			continue
		}
		out = append(out, Saved{
			Prefix: Prefix{
				Prefix: p.Prefix, OnLink: p.OnLink, Autonomous: p.Autonomous, PreferredDelegation: p.Delegation,
			},
			Deprecated: p.Deprecated, Left: left, LetGo: time.Duration(max(0, p.LetGo-passed)) * time.Second,
		})
	}
	return out, errors.Join(errs...)
}

package interfaces

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Device is what patterns are held against.
type Device struct {
	Name, MAC string
}

// Target is one interface that an entry names, and the logical interface that it is
// brought up as before mappings.
type Target struct {
	Name, Logical string
}

// IsPattern reports whether name is [VARIABLE]/VALUE[/[OPTIONS]][=LOGICAL].
func IsPattern(name string) bool { return strings.Contains(name, "/") }

// errPattern: the answer depends on more than names and MAC addresses.
var errPattern = errors.New("the pattern cannot be evaluated from names and MAC addresses")

// Targets says which interfaces an entry of an auto or allow-CLASS line, or the left
// side of a rename, names: expand_matches of main.c. A plain name stands for itself
// whether the device exists or not.
func Targets(name string, devices []Device) ([]Target, error) {
	if !IsPattern(name) {
		physical, logical, ok := strings.Cut(name, "=")
		if !ok {
			logical = physical
		}
		return []Target{{physical, logical}}, nil
	}
	variable, rest, _ := strings.Cut(name, "/")
	pattern, options, hasOptions := strings.Cut(rest, "/")
	if rest == "" {
		hasOptions = false
	}
	var logical string
	var hasLogical bool
	if hasOptions {
		options, logical, hasLogical = strings.Cut(options, "=")
	} else {
		pattern, logical, hasLogical = strings.Cut(pattern, "=")
	}
	if extended(pattern) {
		return nil, fmt.Errorf("cannot evaluate %q: %w", name, errPattern)
	}
	var found []Target
	for _, d := range devices {
		ok, err := d.fits(variable, pattern)
		if err != nil {
			return nil, fmt.Errorf("cannot evaluate %q: %w", name, err)
		}
		if !ok {
			continue
		}
		t := Target{d.Name, d.Name}
		if hasLogical {
			t.Logical = logical
		}
		found = append(found, t)
	}
	n := leadingInt(options)
	switch {
	case n <= 0:
		return found, nil
	case len(found) == 0 || len(found) == 1 && n > 1:
		return nil, nil
	case len(found) == 1:
		return found, nil
	}
	// Which one is the n-th depends on the order of getifaddrs(3), which addresses change.
	return nil, fmt.Errorf("cannot evaluate %q: %w", name, errPattern)
}

// fits is variable_match of archlinux.c.
func (d Device) fits(variable, pattern string) (bool, error) {
	switch {
	case variable == "":
		return match(pattern, d.Name, false), nil
	case strings.EqualFold(variable, "mac"), variable == "address":
		if pattern == "*" {
			return false, nil // ifupdown means "has it" there and tests the opposite
		}
		return match(pattern, d.MAC, false), nil
	}
	return false, errPattern
}

// leadingInt is atoi(3).
func leadingInt(s string) int {
	s = trimLeft(s)
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || n == 0 && (s[n] == '-' || s[n] == '+')) {
		n++
	}
	v, _ := strconv.Atoi(s[:n])
	return v
}

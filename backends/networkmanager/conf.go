package networkmanager

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/backends/networkmanager/keyfile"
	"github.com/provision-net/provision/provision/facts"
)

// confFile is one configuration file of NetworkManager.
type confFile struct {
	path string
	file *keyfile.File
}

// conf is NetworkManager's configuration in reading order: later files win
// (NetworkManager.conf(5)).
type conf struct {
	files    []confFile
	problems []string // files that NetworkManager could not read either
}

// confDirs are read in this order; a file in a later one of the three shadows one of
// the same name before it.
func confDirs() []string {
	return []string{"/usr/lib/NetworkManager/conf.d", "/run/NetworkManager/conf.d", "/etc/NetworkManager/conf.d"}
}

const (
	mainConf   = "/etc/NetworkManager/NetworkManager.conf"
	internConf = "/var/lib/NetworkManager/NetworkManager-intern.conf"
)

// readConf reads the configuration out of the facts, with more files put over it.
func readConf(f *facts.Facts, more map[string]string) conf {
	text := map[string]string{}
	for p, file := range f.Files {
		if p == mainConf || p == internConf || slices.Contains(confDirs(), path.Dir(p)) && strings.HasSuffix(p, ".conf") {
			text[p] = file.Text
		}
	}
	for p, t := range more {
		text[p] = t
	}
	shadowed := func(p string) bool {
		i := slices.Index(confDirs(), path.Dir(p))
		for _, dir := range confDirs()[i+1:] {
			if _, ok := text[dir+"/"+path.Base(p)]; ok {
				return true
			}
		}
		return false
	}
	var order []string
	add := func(dir string) {
		var names []string
		for p := range text {
			if path.Dir(p) == dir && !shadowed(p) {
				names = append(names, p)
			}
		}
		slices.Sort(names)
		order = append(order, names...)
	}
	add(confDirs()[0])
	add(confDirs()[1])
	if _, ok := text[mainConf]; ok {
		order = append(order, mainConf)
	}
	add(confDirs()[2])
	if _, ok := text[internConf]; ok {
		order = append(order, internConf)
	}
	var c conf
	for _, p := range order {
		k, err := keyfile.Parse([]byte(text[p]))
		if err != nil {
			c.problems = append(c.problems, fmt.Sprintf("%s: %v", p, err))
			continue
		}
		c.files = append(c.files, confFile{p, k})
	}
	return c
}

// setting is a value and where it stands.
type setting struct {
	value, file string
	line        int
}

func (s setting) source() string { return fmt.Sprintf("%s:%d", s.file, s.line) }

// connectionDefault looks up a default for connections on l: the sections whose names
// begin with "connection", those of later files first, within a file from top to
// bottom with [connection] itself last; the first that fits the device and has the key
// decides. The settings that it shadows follow.
func (c conf) connectionDefault(l facts.Link, key string) []setting {
	var out []setting
	for _, file := range slices.Backward(c.files) {
		names, _ := file.file.Groups()
		var sections []string
		for _, n := range names {
			if strings.HasPrefix(n, "connection") && n != "connection" {
				sections = append(sections, n)
			}
		}
		if slices.Contains(names, "connection") {
			sections = append(sections, "connection")
		}
		stop := false
		for _, s := range sections {
			if spec, _, ok := file.file.Get(s, "match-device"); ok && !matches(spec, l) {
				continue
			}
			if v, line, ok := file.file.Get(s, key); ok {
				out = append(out, setting{v, file.path, line})
			}
			if v, _, ok := file.file.Get(s, "stop-match"); ok && yes(v) {
				stop = true
				break
			}
		}
		if stop {
			break
		}
	}
	return out
}

// noAutoDefault reports whether NetworkManager makes no "Wired connection" profile for
// the device, and where that is said. [main] no-auto-default may be given in several
// files, extended by += and reduced by -=.
func (c conf) noAutoDefault(f *facts.Facts, l facts.Link) (setting, bool) {
	var specs []setting
	for _, file := range c.files {
		for _, e := range file.file.Keys {
			if e.Group != "main" {
				continue
			}
			s := setting{e.Value, file.path, e.Line}
			switch e.Key {
			case "no-auto-default":
				specs = []setting{s}
			case "no-auto-default+":
				specs = append(specs, s)
			case "no-auto-default-":
				gone := list(e.Value)
				for i := range specs {
					specs[i].value = strings.Join(slices.DeleteFunc(list(specs[i].value), func(v string) bool { return slices.Contains(gone, v) }), ",")
				}
			}
		}
	}
	for _, s := range slices.Backward(specs) {
		if matches(s.value, l) {
			return s, true
		}
	}
	// The device's auto profile was deleted by the user once.
	const state = "/var/lib/NetworkManager/no-auto-default.state"
	if t, ok := f.Files[state]; ok {
		for i, line := range strings.Split(t.Text, "\n") {
			if line = strings.TrimSpace(line); line != "" && (strings.EqualFold(line, l.PermMAC) || strings.EqualFold(strings.TrimPrefix(line, "mac:"), l.PermMAC)) {
				return setting{line, state, i + 1}, true
			}
		}
	}
	return setting{}, false
}

// unmanaged says which setting leaves the device unmanaged, if one does.
func (c conf) unmanaged(f *facts.Facts, l facts.Link) (setting, bool) {
	for _, file := range slices.Backward(c.files) {
		if v, line, ok := file.file.Get("keyfile", "unmanaged-devices"); ok {
			if matches(v, l) {
				return setting{"unmanaged-devices=" + v, file.path, line}, true
			}
			break
		}
	}
	for _, file := range slices.Backward(c.files) {
		names, _ := file.file.Groups()
		for _, n := range names {
			if !strings.HasPrefix(n, "device") {
				continue
			}
			if spec, _, ok := file.file.Get(n, "match-device"); ok && !matches(spec, l) {
				continue
			}
			if v, line, ok := file.file.Get(n, "managed"); ok {
				if !yes(v) {
					return setting{"managed=" + v, file.path, line}, true
				}
				return setting{}, false
			}
		}
	}
	if v, line, file := c.last("ifupdown", "managed"); !yes(v) {
		if claims := claim.Of(f).Ifupdown(l); len(claims) > 0 {
			if line > 0 {
				return setting{"[ifupdown] managed=" + v + ", and the NIC has a stanza in " + claims[0].Source(), file, line}, true
			}
			return setting{"a stanza in interfaces(5)", claims[0].File, claims[0].Line}, true
		}
	}
	return setting{}, false
}

func (c conf) last(group, key string) (value string, line int, file string) {
	for _, f := range c.files {
		if v, n, ok := f.file.Get(group, key); ok {
			value, line, file = v, n, f.path
		}
	}
	return value, line, file
}

func yes(v string) bool {
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "true", "yes", "on", "1":
		return true
	}
	return false
}

// list splits a device list: commas or semicolons, blanks do not count.
func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\t' })
}

// matches evaluates a device list (NetworkManager.conf(5), "Device List Format"): a
// device fits when any entry does and no "except:" entry does; a list of nothing but
// exceptions fits everything else. Entries that facts cannot decide do not fit.
func matches(spec string, l facts.Link) bool {
	fits, positive := false, false
	for _, e := range list(spec) {
		rest, except := strings.CutPrefix(e, "except:")
		if except {
			if matchesOne(rest, l) {
				return false
			}
			continue
		}
		positive = true
		fits = fits || matchesOne(e, l)
	}
	return fits || !positive && len(list(spec)) > 0
}

func matchesOne(e string, l facts.Link) bool {
	kind, value, ok := strings.Cut(e, ":")
	switch {
	case e == "*":
		return true
	case strings.Count(e, ":") == 5:
		return strings.EqualFold(e, l.PermMAC)
	case !ok:
		return e == l.Name
	}
	switch kind {
	case "interface-name":
		if exact, ok := strings.CutPrefix(value, "="); ok {
			return exact == l.Name
		}
		value = strings.TrimPrefix(value, "~")
		return wild(value, l.Name)
	case "mac":
		return strings.EqualFold(value, l.PermMAC)
	case "type":
		return value == "ethernet" && claim.Ethernet(l) && l.Kind == "" || value == "wifi" && claim.Wlan(l) || value == l.Kind && l.Kind != ""
	case "driver":
		name, _, _ := strings.Cut(value, "/")
		return wild(name, l.Driver)
	}
	return false
}

// wild is NetworkManager's simple globbing: only "*" and "?". It goes back to the last
// star only, so a hostile pattern costs no more than the product of the lengths.
func wild(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

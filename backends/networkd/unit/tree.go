package unit

import (
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// Directories in which networkd looks, by falling precedence (systemd.network(5)).
const (
	EtcDir = "/etc/systemd/network"
	RunDir = "/run/systemd/network"
)

func searchDirs() []string {
	return []string{EtcDir, RunDir, "/usr/local/lib/systemd/network", "/usr/lib/systemd/network", "/lib/systemd/network"}
}

// Network is one .network file with the drop-ins that amend it.
type Network struct {
	Base    string // file name: "50-vagrant-eth1.network"
	Path    string
	Dropins []string // in the order in which they are read
	// Shadowed are files of the same name in directories of lower precedence.
	Shadowed []string
	// Entries are the assignments of the file and then of its drop-ins; reading them
	// in this order is what networkd does.
	Entries  []Entry
	Match    Match
	Problems []error
	// Unread is why the text is not known; empty when it is.
	Unread string
}

// Tree is all .network files in the order in which networkd tries them on a link:
// by file name, wherever they lie.
type Tree struct {
	Version  int
	Networks []*Network
	Masked   []string // empty files and links to /dev/null: they hide a name and configure nothing
	f        *facts.Facts
}

// ReadTree reads the files of facts. With base set, files that provision wrote are
// left out: the tree as it would be without us.
func ReadTree(f *facts.Facts, base bool) *Tree {
	t := &Tree{Version: Version(f), f: f}
	mains, dropins := map[string][]string{}, map[string]map[string]string{} // base to paths; base to drop-in name to path
	for _, dir := range searchDirs() {
		for p, file := range f.Files {
			if !strings.HasPrefix(p, dir+"/") || base && file.Ours() {
				continue
			}
			rel := p[len(dir)+1:]
			switch parent, name := path.Split(rel); {
			case parent == "" && strings.HasSuffix(name, ".network"):
				mains[name] = append(mains[name], p)
			case strings.HasSuffix(parent, ".network.d/") && strings.Count(parent, "/") == 1 && strings.HasSuffix(name, ".conf"):
				owner := strings.TrimSuffix(parent, ".d/")
				if dropins[owner] == nil {
					dropins[owner] = map[string]string{}
				}
				if _, shadowed := dropins[owner][name]; !shadowed {
					dropins[owner][name] = p
				}
			}
		}
	}
	for name, paths := range mains {
		if sameDir(paths) {
			paths = paths[:1] // /lib is /usr/lib
		}
		n := &Network{Base: name, Path: paths[0], Shadowed: paths[1:]}
		if file := f.Files[n.Path]; masks(file) {
			t.Masked = append(t.Masked, n.Path)
			continue
		}
		n.read(f, n.Path)
		for _, d := range sortedKeys(dropins[name]) {
			p := dropins[name][d]
			if !masks(f.Files[p]) {
				n.Dropins = append(n.Dropins, p)
				n.read(f, p)
			}
		}
		n.Match = ReadMatch(n.Entries)
		t.Networks = append(t.Networks, n)
	}
	sort.Slice(t.Networks, func(i, j int) bool { return t.Networks[i].Base < t.Networks[j].Base })
	slices.Sort(t.Masked)
	return t
}

// sameDir recognises the one pair of directories that is one on merged-/usr systems.
func sameDir(paths []string) bool {
	return len(paths) == 2 && paths[0] == "/usr"+paths[1]
}

func masks(file facts.File) bool {
	return file.Link == "/dev/null" || file.Text == "" && !file.Masked
}

func (n *Network) read(f *facts.Facts, p string) {
	file := f.Files[p]
	if file.Masked {
		n.Unread = p + " was printed with its secrets blanked"
	}
	u := Parse(p, file.Text)
	n.Entries = append(n.Entries, u.Entries...)
	n.Problems = append(n.Problems, u.Problems...)
	if u.Broken && n.Unread == "" {
		n.Unread = p + " has an error at which networkd stops reading it"
	}
}

// Applied is which file configures a link.
type Applied struct {
	*Network
	// Live is the file that the running networkd says it uses, when another one will
	// take its place as soon as networkd reads its files again.
	Live string
	// Certain is false when an earlier file may fit too and facts cannot decide it.
	Certain bool
}

// Applied returns the file for l: the one that networkd reports, unless it is gone or
// a file that networkd has not read yet comes before it; without a report the first
// one whose [Match] fits. It is nil when none does.
func (t *Tree) Applied(l facts.Link) *Applied {
	state := t.f.Networkd.Links[l.Index]
	if state.Network == "" && state.Admin == "unmanaged" && ManagedBy(l) != "" {
		return nil
	}
	first, maybe := t.First(l)
	live := t.live(state.Network, l)
	switch {
	case live != nil && first != nil && first.Base < live.Base:
		return &Applied{Network: first, Live: live.Path, Certain: true}
	case live != nil:
		return &Applied{Network: live, Certain: true}
	case first != nil:
		return &Applied{Network: first, Certain: maybe == nil}
	case maybe != nil:
		return &Applied{Network: maybe}
	}
	return nil
}

// First is the first file whose [Match] fits l, and maybe the first before it of which
// facts cannot tell; each is nil when there is none.
func (t *Tree) First(l facts.Link) (first, maybe *Network) {
	for _, n := range t.Networks {
		switch n.Match.Fits(t.f, l, t.Version) {
		case Yes:
			return n, maybe
		case Unknown:
			if maybe == nil {
				maybe = n
			}
		}
	}
	return nil, maybe
}

// live is the file that networkd reports, if it is still there and still fits.
func (t *Tree) live(p string, l facts.Link) *Network {
	if p == "" {
		return nil
	}
	if n := t.Find(path.Base(p)); n != nil {
		if n.Match.Fits(t.f, l, t.Version) == No {
			return nil
		}
		return n
	}
	for _, u := range t.f.Unreadable {
		if u.Source == p {
			return &Network{Base: path.Base(p), Path: p, Unread: p + ": " + u.Reason}
		}
	}
	return nil
}

// ManagedBy is the manager other than networkd that udev hands the link to
// (ID_NET_MANAGED_BY), for which networkd keeps off; empty when there is none.
func ManagedBy(l facts.Link) string {
	if by := l.Udev["ID_NET_MANAGED_BY"]; by != "io.systemd.Network" {
		return by
	}
	return ""
}

// Find returns the file of that name.
func (t *Tree) Find(base string) *Network {
	for _, n := range t.Networks {
		if n.Base == base {
			return n
		}
	}
	return nil
}

// Sharers are the names of the links other than l that the file configures too.
func (t *Tree) Sharers(n *Network, l facts.Link) []string {
	var out []string
	for _, other := range t.f.Links {
		if other.Index == l.Index || other.ARPHRD == 772 {
			continue
		}
		if a := t.Applied(other); a != nil && a.Base == n.Base {
			out = append(out, other.Name)
		}
	}
	return out
}

// Later are the drop-ins of n that are read after one called name.
func (n *Network) Later(name string) []string {
	var out []string
	for _, d := range n.Dropins {
		if path.Base(d) > name {
			out = append(out, d)
		}
	}
	return out
}

// Version is the major version of systemd-networkd, 0 when it is not known.
func Version(f *facts.Facts) int {
	n := 0
	for _, c := range f.Networkd.Version {
		if c < '0' || c > '9' || n > 100000 {
			break
		}
		n = n*10 + int(c-'0')
	}
	if n == 0 {
		return f.Machine.Systemd
	}
	return n
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/provision/facts"
)

// arphrdEther is ARPHRD_ETHER of linux/if_arp.h.
const arphrdEther = 1

// named are the NICs that the configuration calls by name and that are not among those found. A mounted image has no
// kernel that could be asked which NICs there are, so these are all that can be
// planned for: as Ethernet NICs of that name, without hardware or addresses.
func named(c backends.Config, found []facts.Link) []facts.Link {
	var out []facts.Link
	last := 0
	for _, l := range found {
		last = max(last, l.Index)
	}
	for _, r := range c.NICs {
		m := r.Match
		exact := m.Name != "" && !strings.ContainsAny(m.Name, `*?[\`) && m.Driver == "" && m.Path == "" && m.Role == ""
		called := func(l facts.Link) bool { return l.Name == m.Name }
		if !exact || slices.ContainsFunc(out, called) || slices.ContainsFunc(found, called) {
			continue
		}
		last++
		out = append(out, facts.Link{Index: last, Name: m.Name, MAC: strings.ToLower(m.MAC), PermMAC: strings.ToLower(m.MAC), ARPHRD: arphrdEther})
	}
	return out
}

// bakedFile says that an image was made with this folder in it, and that no machine has applied its configuration since.
const bakedFile = "baked"

// bake notes in the image that whoever starts from it has to plan for itself before its network comes up: what cloud-init
// writes for it, and which NICs it has, is not known here.
func (a *Agent) bake() error {
	if err := os.WriteFile(filepath.Join(a.stateDir(), bakedFile), nil, 0o600); err != nil {
		return fmt.Errorf("applied, but the image's machines will not plan before their network comes up: %w", err)
	}
	return nil
}

// Baked reports whether this machine is the image still, as far as provision is concerned.
func (a *Agent) Baked() bool {
	_, err := os.Lstat(filepath.Join(a.stateDir(), bakedFile))
	return err == nil
}

// hatch ends that: the machine's own applies count from now on, or nothing is wanted any more.
func (a *Agent) hatch() error {
	if err := os.Remove(filepath.Join(a.stateDir(), bakedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("done, but this still counts as an image: %w", err)
	}
	return nil
}

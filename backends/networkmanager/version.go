package networkmanager

import (
	"fmt"
	"strconv"
	"strings"
)

// softPath is the way in which a version of NetworkManager takes a changed metric.
type softPath int

const (
	// restart: conf.d and a restart of the service. NetworkManager leaves devices
	// configured when it ends and takes them over when it starts; the routes with the
	// old metric stay and are deleted afterwards. Tried on 1.42 and 1.52: no loss, also
	// with a silent DHCP server. Up to 1.52 the metric is baked into the lease, so
	// Reapply alone changes nothing before the next renewal.
	restart softPath = iota
	// reapply: conf.d, Reload and Reapply. Tried on 1.58: no loss, both families.
	reapply
	// reapplyProfile: the profile's own metric and Reapply. Tried on 1.30: no loss.
	reapplyProfile
)

// way is the path chosen for a version, and why.
type way struct {
	path softPath
	why  string
}

// pathFor chooses by version; what was not tried takes the path that loses nothing on
// its tried neighbours, and is verified all the same.
func pathFor(version string) way {
	major, minor, ok := parseVersion(version)
	switch {
	case !ok:
		return way{restart, fmt.Sprintf("NetworkManager of unknown version (%q): a restart keeps addresses on every version that was tried", version)}
	case major > 1 || minor >= 58:
		return way{reapply, "NetworkManager " + version + ": Reload and Reapply move the routes of both families without loss (since 1.58)"}
	case minor == 30 || minor == 31:
		return way{reapplyProfile, "NetworkManager " + version + ": Reapply of a changed profile moves the routes without loss"}
	case minor >= 42 && minor <= 52:
		return way{restart, "NetworkManager " + version + ": Reapply changes nothing before the next renewal, a restart does and keeps addresses"}
	}
	return way{restart, "NetworkManager " + version + " was not tried: as its neighbours 1.42 and 1.52, a restart keeps addresses"}
}

// parseVersion reads "1.42.4", also in a distribution's form "1:1.42.4-1+deb12u1".
func parseVersion(v string) (major, minor int, ok bool) {
	if _, rest, epoch := strings.Cut(v, ":"); epoch {
		v = rest
	}
	parts := strings.SplitN(v, ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return major, minor, err1 == nil && err2 == nil && major >= 0 && minor >= 0
}

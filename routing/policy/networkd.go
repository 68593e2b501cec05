package policy

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
)

const (
	networkdDir  = "/etc/systemd/networkd.conf.d"
	networkdPath = networkdDir + "/90-provision.conf"
	// NetworkdTrigger is the restart that makes systemd-networkd read it.
	NetworkdTrigger = "systemd-networkd-foreign"
)

// Versions of systemd (networkd.conf(5)).
const (
	knowsRoutes = 246 // ManageForeignRoutes=
	knowsRules  = 249 // ManageForeignRoutingPolicyRules=
	restartable = 248 // a restart keeps addresses
)

// Networkd keeps systemd-networkd from deleting routes and rules that it did not make. Without it
// they are gone whenever it starts or configures a link anew (systemd#19106, #22077). It reads its
// own configuration when it starts only, so it is restarted once; the new process does not delete
// any more. Nothing is wanted where it does not run, or has been told already.
func Networkd(f *facts.Facts) provision.Desired {
	var d provision.Desired
	n := f.Networkd
	if !n.Installed || n.Masked || !n.Running && !n.Enabled {
		return d
	}
	note := func(level, text string, args ...any) {
		d.Notes = append(d.Notes, provision.Note{Level: level, Subject: "systemd-networkd", Text: fmt.Sprintf(text, args...)})
	}
	version := networkdVersion(f)
	if version != 0 && version < knowsRoutes {
		note("warning", "version %d deletes routes and rules of others when it configures a link, and cannot be told not to: provision watch puts ours back", version)
		return d
	}
	if told(f) {
		return d
	}
	text := facts.Marker + "\n# Without this, systemd-networkd deletes routes and rules that it did not make.\n[Network]\nManageForeignRoutes=no\n"
	if version == 0 || version >= knowsRules {
		text += "ManageForeignRoutingPolicyRules=no\n"
	} else {
		note("warning", "version %d cannot be told to leave policy rules alone: provision watch puts ours back", version)
	}
	why := "systemd-networkd deletes routes and rules that it did not make, unless it is told not to"
	w := file.Want(networkdPath, []byte(text), 0o644, why)
	d.Wants = append(d.Wants, file.Dir(networkdDir, why), w)
	switch {
	case !n.Running:
	case version != 0 && version < restartable:
		note("warning", "a restart of version %d would drop addresses, so it takes this up at its next start; until then provision watch puts our routes and rules back", version)
	default:
		d.Triggers = append(d.Triggers, provision.Trigger{
			Name: NetworkdTrigger, On: []provision.Ref{w.Ref}, Do: daemon.NetworkdRestart(managed(f)...),
			Why: "systemd-networkd " + versionText(version) + " reads networkd.conf when it starts only; a restart keeps addresses and routes",
		})
	}
	return d
}

func versionText(version int) string {
	if version == 0 {
		return "of an unknown version"
	}
	return strconv.Itoa(version)
}

// networkdVersion is its major version, 0 when it cannot be told.
func networkdVersion(f *facts.Facts) int {
	digits := f.Networkd.Version
	if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = digits[:i]
	}
	if v, err := strconv.Atoi(digits); err == nil {
		return v
	}
	return f.Machine.Systemd
}

// managed are the selectors of the links that networkd configures.
func managed(f *facts.Facts) []string {
	var out []string
	for i, l := range f.Networkd.Links {
		if k, ok := f.LinkByIndex(i); ok && l.Network != "" && l.Admin != "unmanaged" {
			out = append(out, k.Selector())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// told reports whether files of others say the same already. Of several the last one counts, in
// the order of their names, and of equal names the one in /etc, then /run (systemd.conf(5)).
func told(f *facts.Facts) bool {
	byName := map[string]string{}
	for _, dir := range []string{"/usr/lib/systemd/networkd.conf.d", "/run/systemd/networkd.conf.d", networkdDir} {
		for p := range f.Files {
			if path.Dir(p) == dir && p != networkdPath {
				byName[path.Base(p)] = p
			}
		}
	}
	files := []string{"/etc/systemd/networkd.conf"}
	var names []string
	for n := range byName {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		files = append(files, byName[n])
	}
	value := map[string]bool{"ManageForeignRoutes": true, "ManageForeignRoutingPolicyRules": true}
	for _, p := range files {
		for line := range strings.Lines(f.Files[p].Text) {
			k, v, ok := strings.Cut(strings.TrimSpace(line), "=")
			if k = strings.TrimSpace(k); !ok {
				continue
			}
			if _, known := value[k]; known {
				value[k] = !slices.Contains([]string{"no", "false", "off", "0", "n", "f"}, strings.ToLower(strings.TrimSpace(v)))
			}
		}
	}
	return !value["ManageForeignRoutes"] && !value["ManageForeignRoutingPolicyRules"]
}

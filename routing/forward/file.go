package forward

import (
	"path"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

// Path of the one file that makes the parameters permanent. systemd-sysctl reads it long before
// docker starts: docker sets the policy of its FORWARD chain to drop only where it has to turn
// IPv4 forwarding on itself.
const Path = "/etc/sysctl.d/60-provision.conf"

// file wants the permanent file. It is the first want: what is permanent before it is live
// survives a power cut in between, and files have no order among themselves in time.
func (p *planner) file() {
	if len(p.lines) == 0 {
		return
	}
	wants := []provision.Want{
		file.Dir(path.Dir(Path), "holds "+path.Base(Path)),
		file.Want(Path, []byte(text(p.lines)), 0o644, "kernel parameters for forwarding at the next boot"),
	}
	p.d.Wants = append(wants, p.d.Wants...)
}

// text writes keys with slashes, which leave dots in names of devices alone, and the dash that
// makes a missing device no error (sysctl.d(5)). The switches have no dash: that they cannot be
// set is worth a line in the log.
func text(lines []line) string {
	var b strings.Builder
	b.WriteString(facts.Marker + "\n")
	seen := map[string]bool{}
	why := ""
	for _, l := range lines {
		if seen[l.key] {
			continue
		}
		seen[l.key] = true
		if l.why != "" && l.why != why {
			why = l.why
			b.WriteString("# " + strings.Join(strings.Fields(why), " ") + "\n")
		}
		if strings.Contains(l.key, "/conf/") && !strings.HasPrefix(l.key, "net/ipv6/conf/all/") {
			b.WriteByte('-')
		}
		b.WriteString(l.key)
		if l.value != "" {
			b.WriteString(" = " + l.value)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

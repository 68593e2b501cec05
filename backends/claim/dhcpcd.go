package claim

import (
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// dhcpcdConf is dhcpcd's configuration file.
const dhcpcdConf = "/etc/dhcpcd.conf"

// Dhcpcd reports whether a dhcpcd in master mode would take l, and which line of
// dhcpcd.conf says so (or says otherwise). Without a line it takes every NIC.
func Dhcpcd(f *facts.Facts, l facts.Link) (c Claim, takes bool) {
	c = Claim{ID: l.Name, File: dhcpcdConf, Text: "no allowinterfaces or denyinterfaces names it"}
	t, ok := text(f, dhcpcdConf)
	if !ok {
		return c, true
	}
	allowed, denied, listed := false, false, false
	for i, raw := range strings.Split(t, "\n") {
		w := strings.Fields(raw)
		if len(w) == 0 || strings.HasPrefix(w[0], "#") {
			continue
		}
		switch w[0] {
		case "denyinterfaces", "allowinterfaces":
			listed = listed || w[0] == "allowinterfaces"
			for _, pattern := range strings.FieldsFunc(strings.Join(w[1:], " "), func(r rune) bool { return r == ' ' || r == ',' }) {
				if !globAny(pattern, l) {
					continue
				}
				c.Line, c.Text = i+1, w[0]+" "+pattern
				allowed = allowed || w[0] == "allowinterfaces"
				denied = denied || w[0] == "denyinterfaces"
			}
		case "interface":
			if len(w) > 1 && w[1] == l.Name && c.Line == 0 {
				c.Line, c.Text = i+1, "block \"interface "+w[1]+"\""
			}
		}
	}
	if denied || listed && !allowed {
		if c.Line == 0 {
			c.Text = "allowinterfaces does not name it"
		}
		return c, false
	}
	return c, true
}

package facts

import (
	"bytes"
	"strings"
)

// packages holds the versions of installed packages that matter, from dpkg's or
// apk's database, without running either.
type packages map[string]string

var packageNames = []string{
	"systemd", "network-manager", "netplan.io", "ifupdown", "ifupdown-ng", "ifupdown2", "cloud-init",
	"dhcpcd-base", "dhcpcd", "dhcpcd5", "isc-dhcp-client", "udhcpc", "networkmanager",
}

// A database of a full desktop is a few megabytes.
const maxDatabase = 64 << 20

func (r *gathering) packages() packages {
	if b, err := r.t.ReadFile("/var/lib/dpkg/status", maxDatabase); err == nil {
		return parseDpkgStatus(b, packageNames)
	} else if !missing(err) {
		r.problem("/var/lib/dpkg/status", err)
	}
	for _, db := range []string{"/lib/apk/db/installed", "/usr/lib/apk/db/installed"} {
		if b, err := r.t.ReadFile(db, maxDatabase); err == nil {
			return parseApkInstalled(b, packageNames)
		}
	}
	return nil
}

// parseDpkgStatus finds the versions of the named packages that are installed, not
// merely removed with their configuration left (deb-control(5)). It searches for
// the names instead of splitting the file: the file is large, the names are few.
func parseDpkgStatus(b []byte, names []string) packages {
	out := packages{}
	for _, name := range names {
		stanza := findStanza(b, "Package: "+name+"\n")
		if stanza == nil {
			continue
		}
		status, version := field(stanza, "Status: "), field(stanza, "Version: ")
		if strings.HasSuffix(status, " installed") && version != "" {
			out[name] = clean(version)
		}
	}
	return out
}

// parseApkInstalled reads Alpine's database (apk-tools: P is the name, V the version).
func parseApkInstalled(b []byte, names []string) packages {
	out := packages{}
	for _, name := range names {
		if stanza := findStanza(b, "P:"+name+"\n"); stanza != nil {
			if v := field(stanza, "V:"); v != "" {
				out[name] = clean(v)
			}
		}
	}
	return out
}

// findStanza returns the paragraph, ended by an empty line, that has the line.
func findStanza(b []byte, line string) []byte {
	at := 0
	if !bytes.HasPrefix(b, []byte(line)) {
		i := bytes.Index(b, []byte("\n"+line))
		if i < 0 {
			return nil
		}
		at = i + 1
	}
	start := 0
	if i := bytes.LastIndex(b[:at], []byte("\n\n")); i >= 0 {
		start = i + 2
	}
	end := len(b)
	if i := bytes.Index(b[at:], []byte("\n\n")); i >= 0 {
		end = at + i + 1
	}
	return b[start:end]
}

// field returns the value of the first line with the prefix.
func field(stanza []byte, prefix string) string {
	for line := range bytes.Lines(stanza) {
		if rest, ok := bytes.CutPrefix(line, []byte(prefix)); ok {
			return string(bytes.TrimSpace(rest))
		}
	}
	return ""
}

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
	"dhcpcd-base", "dhcpcd", "dhcpcd5", "isc-dhcp-client", "udhcpc", "networkmanager", gadgetPackage,
}

// gadgetPackage is Raspberry Pi OS's own maker of gadgets.
const gadgetPackage = "rpi-usb-gadget"

// A database of a full desktop is a few megabytes.
const maxDatabase = 64 << 20

func (r *gathering) packages() packages {
	// The database is a megabyte and more, which a board of one slow core takes longer to read than all the rest that who
	// makes a device asks for. That is one package, of which dpkg would have a list of files.
	if r.Bare && !r.t.Exists("/var/lib/dpkg/info/"+gadgetPackage+".list") {
		return nil
	}
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
// merely removed with their configuration left (deb-control(5)).
func parseDpkgStatus(b []byte, names []string) packages {
	out := packages{}
	stanzas(b, "Package: ", names, func(name string, stanza []byte) {
		status, version := field(stanza, "Status: "), field(stanza, "Version: ")
		if strings.HasSuffix(status, " installed") && version != "" {
			out[name] = clean(version)
		}
	})
	return out
}

// parseApkInstalled reads Alpine's database (apk-tools: P is the name, V the version).
func parseApkInstalled(b []byte, names []string) packages {
	out := packages{}
	stanzas(b, "P:", names, func(name string, stanza []byte) {
		if v := field(stanza, "V:"); v != "" {
			out[name] = clean(v)
		}
	})
	return out
}

// stanzas calls each for the paragraphs, ended by an empty line, in which key
// gives one of the names. It jumps from key to key instead of splitting the file:
// the file is large, the names are few.
func stanzas(b []byte, key string, names []string, each func(name string, stanza []byte)) {
	want := make(map[string]bool, len(names))
	for _, n := range names {
		want[n] = true
	}
	mark := []byte("\n" + key)
	at := 0 // of the key
	if !bytes.HasPrefix(b, mark[1:]) {
		if at = bytes.Index(b, mark) + 1; at == 0 {
			return
		}
	}
	for {
		line := b[at+len(key):]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i]
		}
		if want[string(line)] {
			start, end := 0, len(b)
			if i := bytes.LastIndex(b[:at], []byte("\n\n")); i >= 0 {
				start = i + 2
			}
			if i := bytes.Index(b[at:], []byte("\n\n")); i >= 0 {
				end = at + i + 1
			}
			each(string(line), b[start:end])
		}
		i := bytes.Index(b[at:], mark)
		if i < 0 {
			return
		}
		at += i + 1
	}
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

//go:build lab && linux

package gadget

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is all of the second partition's file system as debugfs reads it, without a mount: each path with type, mode, owner, size, the
// target of a link, and whatever changes when it is written, made anew or renamed, also to what it was: the number of the inode, its
// generation, and both times to the nanosecond.
func (c card) root(t *testing.T) map[string]string {
	t.Helper()
	part := c.partition(t, 4+c.boot, 0)
	to := t.TempDir()
	sh(t, "", "debugfs", "-R", fmt.Sprintf("rdump / %q", to), part)
	var paths []string
	var ask strings.Builder
	err := filepath.WalkDir(to, func(path string, _ fs.DirEntry, err error) error {
		if path = strings.TrimPrefix(path, to); path != "" {
			paths = append(paths, path)
			fmt.Fprintf(&ask, "stat \"%s\"\n", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	tree := map[string]string{}
	said := strings.Split(sh(t, ask.String(), "debugfs", "-f", "-", part), "debugfs: stat ")[1:]
	what := regexp.MustCompile(`(?s)^"([^\n]+)"\nInode: (\d+) +Type: (.*?) +Mode: +(\d+) +Flags: \S+\nGeneration: (\d+) .*?\nUser: +(\d+) +Group: +(\d+) .*?Size: (\d+)\n.*? ctime: (\S+).*? mtime: (\S+)`)
	for _, s := range said {
		m := what.FindStringSubmatch(s)
		if m == nil {
			t.Fatalf("debugfs says: %s", s)
		}
		link := regexp.MustCompile(`Fast link dest: (.*)`).FindString(s)
		tree[m[1]] = fmt.Sprintf("%s %s of %s:%s, %s bytes %s (inode %s.%s, ctime %s, mtime %s)", m[3], m[4], m[6], m[7], m[8], link, m[2], m[5], m[9], m[10])
	}
	if len(tree) != len(paths) || tree["/etc/passwd"] == "" {
		t.Fatalf("debugfs has said something of %d files, not of %d", len(tree), len(paths))
	}
	return tree
}

// everyBoot are the files that each boot writes, with who does, or why. One that ends with a slash is a folder with all that is in it.
var everyBoot = map[string]string{
	"/tmp":                         "systemd-tmpfiles empties it",
	"/tmp/":                        "systemd-tmpfiles makes the folders of X11",
	"/var/tmp":                     "systemd makes private folders of units in it (PrivateTmp), and takes them away",
	"/var/log/wtmp":                "systemd-update-utmp writes down boots and shutdowns",
	"/var/lib/systemd/random-seed": "systemd-random-seed",
	// Memory of ours, none of which configures anything.
	"/var/lib/provision":                      "gadget-hosts.json is put in place in it",
	"/var/lib/provision/gadget-hosts.json":    "which hosts were at the other end",
	"/var/lib/provision/engine":               "files are put in place in it",
	"/var/lib/provision/engine/":              "a gadget is gone after a reboot: `gadget up` is an apply, with snapshot and ledger",
	"/var/lib/provision/serve":                "leases.journal is put in place in it",
	"/var/lib/provision/serve/leases.journal": "a server that starts writes its journal anew, without what is past",
}

// gadgetFirst are those that are written when a gadget comes up for the first time.
var gadgetFirst = map[string]string{
	"/etc/systemd/system":                                                     "the units below are put in place in it",
	"/etc/systemd/system/provision-login-gs0.service":                         "the console by USB",
	"/etc/systemd/system/dev-ttyGS0.device.wants":                             "the console by USB",
	"/etc/systemd/system/dev-ttyGS0.device.wants/provision-login-gs0.service": "the console by USB",
	"/etc/systemd/system/usb-gadget.target.wants":                             "the link below is put in place in it",
	"/etc/systemd/system/usb-gadget.target.wants/provision-gadget.service":    "that of `systemctl enable` begins at the root, that of `gadget up` does not",
	"/var/lib":                       "the folder provision is made in it",
	"/var/lib/provision/gadget.json": "what the gadget is",
	"/var/lib/systemd":               "the folder linger is made in it",
	"/var/lib/systemd/linger":        "systemd-logind keeps users there",
}

func together(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// changed are the paths of which two trees say something different, with what they say, but for those that are known.
func changed(before, after, known map[string]string) []string {
	var out []string
	say := func(path, format string, args ...any) {
		is := known[path] != ""
		for at := path; at != "/"; at = filepath.Dir(at) {
			is = is || known[at+"/"] != ""
		}
		if !is {
			out = append(out, path+": "+fmt.Sprintf(format, args...))
		}
	}
	for path, was := range before {
		if is := after[path]; is == "" {
			say(path, "gone, was %s", was)
		} else if is != was {
			say(path, "was %s, is %s", was, is)
		}
	}
	for path, is := range after {
		if before[path] == "" {
			say(path, "new, %s", is)
		}
	}
	slices.Sort(out)
	return out
}

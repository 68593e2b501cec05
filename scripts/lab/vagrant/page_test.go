//go:build lab && linux

package vagrant

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// page is what docs/vagrant.md has a reader do: the indented commands by paragraph, and the fenced blocks by kind.
type page struct {
	commands []string
	blocks   map[string][]string
}

func readPage(t *testing.T) page {
	t.Helper()
	text, err := os.ReadFile("../../../docs/vagrant.md")
	if err != nil {
		t.Fatal(err)
	}
	p := page{blocks: map[string][]string{}}
	for _, m := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		p.blocks[m[1]] = append(p.blocks[m[1]], m[2])
	}
	for _, m := range regexp.MustCompile(`(?m)(?:^    .*\n)+`).FindAllString(string(text), -1) {
		p.commands = append(p.commands, strings.TrimPrefix(strings.ReplaceAll("\n"+m, "\n    ", "\n"), "\n"))
	}
	return p
}

// one returns the only text with these words.
func one(t *testing.T, texts []string, words string) string {
	t.Helper()
	var found []string
	for _, s := range texts {
		if strings.Contains(s, words) {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("docs/vagrant.md has %d places with %q, not one: %q", len(found), words, texts)
	}
	return found[0]
}

// line returns the one indented command that begins so.
func (p page) line(t *testing.T, begin string) string {
	t.Helper()
	for l := range strings.Lines(one(t, p.commands, begin)) {
		if strings.HasPrefix(l, begin) {
			return strings.TrimSpace(l)
		}
	}
	t.Fatalf("docs/vagrant.md has no command that begins with %q", begin)
	return ""
}

// The page's way to the plugin on a host without internet, its Vagrantfile, the lines and the script of the form without the plugin, and an
// image that forgets.
func TestPage(t *testing.T) {
	lab.Need(t, lab.Vagrant)
	t.Parallel()
	p := readPage(t)
	dir, env := t.TempDir(), home(t)
	bin := t.TempDir()
	command(t, "", os.Environ(), "cp", binary, filepath.Join(bin, "provision"))
	env = append(env, "PATH="+bin+":"+os.Getenv("PATH"))
	command(t, "", os.Environ(), "cp", "-r", "../../../vagrant", filepath.Join(dir, "vagrant"))
	out := command(t, dir, env, "unshare", "-n", "sh", "-ec", one(t, p.commands, "vagrant plugin install"))
	if !strings.Contains(out, "Installed the plugin 'vagrant-provision") {
		t.Errorf("the plugin is not installed: %s", out)
	}
	validate := func(folder, vagrantfile string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, "Vagrantfile"), []byte(vagrantfile), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := command(t, folder, env, "vagrant", "validate"); !strings.Contains(out, "validated successfully") {
			t.Errorf("%s: %s", vagrantfile, out)
		}
	}
	validate(t.TempDir(), one(t, p.blocks["ruby"], ":provision, nat_metric"))

	folder := t.TempDir()
	lines := command(t, folder, env, "sh", "-ec", one(t, p.blocks["sh"], "hook vagrant"))
	if script, err := os.ReadFile(filepath.Join(folder, "provision.sh")); err != nil || !strings.HasPrefix(string(script), "#!/bin/sh") {
		t.Errorf("provision.sh: %q (%v)", script, err)
	}
	// An image's root that is mounted: no more than a machine-id is enough to see that it is this one that forgets.
	command(t, folder, env, "sh", "-ec", one(t, p.blocks["sh"], "generalize --dry-run"))
	const image = `mount -t tmpfs image /mnt; mkdir -p /mnt/etc /mnt/var/lib; cp /etc/os-release /mnt/etc; echo 0123456789abcdef0123456789abcdef > /mnt/etc/machine-id`
	out = command(t, folder, env, "unshare", "-m", "sh", "-ec", image+"\n"+p.line(t, "provision generalize --root ")+"\nwc -c < /mnt/etc/machine-id")
	if !strings.HasSuffix(out, "\n0\n") {
		t.Errorf("the image has a machine-id: %s", out)
	}
	validate(folder, "Vagrant.configure(\"2\") do |config|\n  config.vm.box = \"lab\"\n"+lines+"end\n")
}

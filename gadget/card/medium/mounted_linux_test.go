package medium

import (
	"os"
	"os/exec"
	"testing"
)

// Mounted by the kernel: neither the secrets that are replaced nor those that are taken back are in the image afterwards. Not every
// kernel has FAT; ext2 keeps no copies of contents either.
func TestOldSecretsOnAMountedCard(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: mounting needs root")
	}
	for _, kind := range []string{"vfat", "ext2"} {
		t.Run(kind, func(t *testing.T) {
			image := fatImage(t, "32", 40*mb)
			if kind == "ext2" {
				do(t, "", "mkfs.ext2", "-q", "-F", image)
			}
			dir := t.TempDir()
			if out, err := exec.Command("mount", "-t", kind, "-o", "loop", image, dir).CombinedOutput(); err != nil {
				t.Skipf("skipped: cannot mount %s: %v: %s", kind, err, out)
			}
			mounted := true
			unmount := func() {
				if mounted {
					mounted = false
					do(t, "", "umount", dir)
				}
			}
			t.Cleanup(unmount)
			if kind == "ext2" {
				for name, text := range map[string]string{"config.txt": "a=1\n", "cmdline.txt": "root=x\n"} {
					if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			m := open(t, dir)
			if err := prepared(m, "A"); err != nil || raw(t, image, "A") < 200 {
				t.Fatalf("%v: %d are there", err, raw(t, image, "A"))
			}
			if err := prepared(m, "B"); err != nil || raw(t, image, "A") != 0 || raw(t, image, "B") < 200 {
				t.Errorf("other secrets: %v, %d of the old ones are left", err, raw(t, image, "A"))
			}
			if err := undone(m); err != nil || raw(t, image, "B") != 0 {
				t.Errorf("taken back: %v, %d are left", err, raw(t, image, "B"))
			}
			if text, err := m.Read("cmdline.txt"); err != nil || string(text) != "root=x\n" {
				t.Errorf("cmdline.txt is %q: %v", text, err)
			}
			m.Close()
			unmount()
			if n := raw(t, image, "A") + raw(t, image, "B"); n != 0 {
				t.Errorf("%d are left in the end", n)
			}
		})
	}
}

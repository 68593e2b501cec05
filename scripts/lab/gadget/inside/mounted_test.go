//go:build lab && linux

package inside

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// TestMountedCard: a card that is mounted by the kernel's FAT in a reader at the kernel's USB. Its secrets are replaced, and taken back,
// without a boot; the bytes behind the reader have none of them any more.
func TestMountedCard(t *testing.T) {
	r := newReader(t, 12*mib, "")
	dir := t.TempDir()
	head := make([]byte, 64<<10)
	copy(head, "\x7fELF\x01\x01\x01")
	head[18] = 40 // ARM
	put := func(name string, data []byte) string {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	program := put("arm", head)
	bed.Sh(t, "mkdosfs "+r.disk+" > /dev/null; modprobe -a nls_cp437 nls_ascii; mkdir -p /mnt/card; mount -t vfat -o iocharset=ascii "+r.disk+" /mnt/card")
	t.Cleanup(func() { _, _ = bed.Try("umount /mnt/card") })
	bed.Sh(t, "echo auto_initramfs=1 > /mnt/card/config.txt; echo console=tty1 root=PARTUUID=deadbeef-02 rootwait > /mnt/card/cmdline.txt")
	before := bed.Sh(t, "cd /mnt/card; sha256sum *")
	prepare := func(password string) string {
		// A hash, as it may be given: making one takes this guest long.
		hash := "$6$salt$" + strings.Repeat(password, 86/len(password))
		bed.Sh(t, "provision card prepare /mnt/card --program "+program+" --user me --password-file "+put("password", []byte(hash+"\n"))+"; sync")
		return hash
	}
	first := prepare("one")
	if !bytes.Contains(r.content(), []byte(first)) {
		t.Fatal("the card does not have the secret that it was given")
	}
	second := prepare("other")
	if now := r.content(); bytes.Contains(now, []byte(first)) || !bytes.Contains(now, []byte(second)) {
		t.Error("other secrets: the old one is on the card still, or the new one is not")
	}
	bed.Sh(t, "provision card undo /mnt/card; sync")
	if now := r.content(); bytes.Contains(now, []byte(first)) || bytes.Contains(now, []byte(second)) {
		t.Error("after going back the card has a secret still")
	}
	if after := bed.Sh(t, "cd /mnt/card; sha256sum *"); after != before {
		t.Errorf("the files were\n%s\nand are\n%s", before, after)
	}
}

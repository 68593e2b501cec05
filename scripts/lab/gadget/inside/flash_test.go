//go:build lab && linux

package inside

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget/card/device"
	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

// reader is a card reader with a card in it: the kernel's own mass storage gadget at the kernel's own USB host.
type reader struct {
	t    testing.TB
	file string // what is on the card
	disk string // /dev/sda
}

const readerDir = bed.ConfigFS + "/reader"

// newReader plugs one in, with a card of so many bytes that is full of old data.
func newReader(t testing.TB, size int, file string) *reader {
	t.Helper()
	bed.Controllers(t, 1)
	r := &reader{t: t, file: file}
	if file == "" {
		r.file = filepath.Join(t.TempDir(), "card")
		old := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{7}).Read(old)
		if err := os.WriteFile(r.file, old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bed.Sh(t, "modprobe usb_f_mass_storage; mkdir -p "+readerDir+"/configs/c.1 "+readerDir+"/functions/mass_storage.0 "+readerDir+"/strings/0x409; cd "+readerDir+`
		echo 0x1d6b > idVendor; echo 0x0104 > idProduct; echo R-4711 > strings/0x409/serialnumber
		cd functions/mass_storage.0/lun.0; echo 1 > removable; echo 'ACME    SD Reader' > inquiry_string
		ln -s `+readerDir+"/functions/mass_storage.0 "+readerDir+"/configs/c.1/")
	t.Cleanup(func() {
		_, _ = bed.Try("cd " + readerDir + "; echo '' > UDC; rm configs/c.1/mass_storage.0; rmdir configs/c.1 functions/mass_storage.0 strings/0x409; cd ..; rmdir reader")
	})
	r.lun("ro", "0")
	r.lun("file", r.file)
	r.plug()
	return r
}

func (r *reader) lun(attr, value string) {
	r.t.Helper()
	if err := bed.Write(readerDir+"/functions/mass_storage.0/lun.0/"+attr, value+"\n"); err != nil {
		r.t.Fatalf("%s: %v", attr, err)
	}
}

func (r *reader) plug() {
	r.t.Helper()
	if err := bed.Write(readerDir+"/UDC", bed.UDC(0)+"\n"); err != nil {
		r.t.Fatal(err)
	}
	lab.Await(r.t, 30*time.Second, func() error {
		for _, d := range r.disks() {
			if d.Bus == "usb" {
				r.disk = d.Path
				_, err := os.Stat(d.Path)
				return err
			}
		}
		return errors.New("the host has no disk")
	})
}

// pull takes the reader out of its port.
func (r *reader) pull() {
	r.t.Helper()
	if err := bed.Write(readerDir+"/UDC", "\n"); err != nil {
		r.t.Fatal(err)
	}
}

// disks are those that the program lists.
func (r *reader) disks() []listed {
	r.t.Helper()
	var all []listed
	text := bed.Sh(r.t, "provision card flash --list -o json")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		r.t.Fatalf("%v: %s", err, text)
	}
	return all
}

type listed struct {
	device.Disk
	Refused []device.Reason
}

// mine is the reader's in the list.
func (r *reader) mine() listed {
	r.t.Helper()
	for _, d := range r.disks() {
		if d.Path == r.disk {
			return d
		}
	}
	r.t.Fatal("the reader is not in the list")
	return listed{}
}

// content is what is on the card.
func (r *reader) content() []byte {
	r.t.Helper()
	b, err := os.ReadFile(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// at is a piece of what is on the card.
func (r *reader) at(off, n int) []byte {
	r.t.Helper()
	f, err := os.Open(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, int64(off)); err != nil {
		r.t.Fatal(err)
	}
	return b
}

const mib = 1 << 20

// diskImage is one with a partition.
func diskImage(t testing.TB, size int) (data []byte, file string) {
	t.Helper()
	data = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	clear(data[440:512])
	e := data[446:]
	e[4] = 0x0c
	binary.LittleEndian.PutUint32(e[8:], 2048)
	binary.LittleEndian.PutUint32(e[12:], uint32(size/512-2048))
	data[510], data[511] = 0x55, 0xaa
	file = filepath.Join(t.TempDir(), "raspios.img")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return data, file
}

func flashing(args string) (string, int) { return bed.Try("provision card flash " + args) }

// refusedFlash wants a status, words, and a card that nobody has touched.
func (r *reader) refusedFlash(what, args string, status int, words ...string) {
	r.t.Helper()
	before := r.content()
	out, code := flashing(args)
	r.t.Logf("%s: status %d\n%s", what, code, out)
	if code != status {
		r.t.Errorf("%s: status %d, want %d", what, code, status)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			r.t.Errorf("%s: it does not say %q", what, w)
		}
	}
	if !bytes.Equal(before, r.content()) {
		r.t.Errorf("%s: the card was written", what)
	}
}

// TestFlashRefuses: what must not be written is not, whatever the reason.
func TestFlashRefuses(t *testing.T) {
	r := newReader(t, 8*mib, "")
	_, image := diskImage(t, 2*mib)
	d := r.mine()
	if len(d.Refused) != 0 || !d.Removable || d.Size != 8*mib || d.Serial != "R-4711" || d.Name() != "ACME SD Reader" {
		t.Errorf("%+v", d)
	}
	r.refusedFlash("a dry run", image+" --dry-run", 0, "ACME SD Reader 8.4 MB", "nothing was written")
	r.refusedFlash("the wrong words", image+" <<< 'ACME SD Reader 32 GB'", 64, "nothing was written")
	r.refusedFlash("--yes and the wrong size", image+" "+r.disk+" --yes --size 32GB", 64, "is it the disk that you mean")
	if err := os.WriteFile(image+".sha256", []byte(strings.Repeat("1", 64)+"  raspios.img\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.refusedFlash("the wrong checksum beside it", image+" "+r.disk+" --yes --size 8.4MB", 1, "download it again")
	_ = os.Remove(image + ".sha256")

	bed.Sh(t, "mkdosfs "+r.disk+" > /dev/null; mkdir -p /mnt/a; mount "+r.disk+" /mnt/a; sync")
	r.refusedFlash("mounted", image+" "+r.disk+" --yes --serial R-4711", 4, "mounted at /mnt/a", "umount /mnt/a")
	bed.Sh(t, "umount /mnt/a")

	// In a namespace that the program does not see: the opening notices.
	hidden := exec.Command("unshare", "-m", "sh", "-c", "mount "+r.disk+" /mnt/a && echo ready && exec sleep 60")
	out, err := hidden.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hidden.Start(); err != nil {
		t.Fatal(err)
	}
	_, err = out.Read(make([]byte, 6))
	if err == nil {
		r.refusedFlash("mounted elsewhere", image+" "+r.disk+" --yes --serial R-4711", 4, "in use")
	} else {
		t.Error(err)
	}
	_ = hidden.Process.Kill()
	_ = hidden.Wait()

	r.pull()
	r.lun("file", "")
	r.lun("ro", "1")
	r.lun("file", r.file)
	r.plug()
	r.refusedFlash("write-protected", image+" "+r.disk+" --yes --serial R-4711", 4, "write-protected", "lock")
}

// TestFlashUsed: more ways in which a card is in use, or is not meant.
func TestFlashUsed(t *testing.T) {
	r := newReader(t, 8*mib, "")
	_, image := diskImage(t, 2*mib)
	t.Log("\n" + bed.Sh(t, "provision card flash --list"))
	r.refusedFlash("nobody to ask", image+" < /dev/null", 64)
	r.refusedFlash("--yes alone", image+" --yes", 64, "--yes needs the DEVICE")
	r.refusedFlash("--yes and the wrong serial number", image+" "+r.disk+" --yes --serial R-4712", 64, "is it the disk that you mean")
	r.refusedFlash("the wrong checksum", image+" "+r.disk+" --yes --size 8.4MB --sha256 "+strings.Repeat("0", 64), 1, "download it again")
	_, large := diskImage(t, 9*mib)
	r.refusedFlash("too small a card", large+" "+r.disk+" --yes --size 8.4MB", 1, "too small")
	r.refusedFlash("no such disk", image+" /dev/sdz --yes --size 8.4MB", 64, "--list")

	bed.Sh(t, "mkdosfs "+r.disk+" > /dev/null; mkdir -p /mnt/a; mount "+r.disk+" /mnt/a; sync")
	r.refusedFlash("mounted, and the only one", image+" --dry-run", 64, "mounted at /mnt/a")
	bed.Sh(t, "umount /mnt/a; mkswap "+r.disk+" > /dev/null && swapon "+r.disk)
	r.refusedFlash("swap", image+" "+r.disk+" --yes --serial R-4711", 4, "the running system is on it")
	bed.Sh(t, "swapoff "+r.disk+"; modprobe loop; losetup /dev/loop0 "+r.disk)
	r.refusedFlash("behind a loop device", image+" "+r.disk+" --yes --serial R-4711", 4, "losetup -d /dev/loop0")
	bed.Sh(t, "losetup -d /dev/loop0")
	r.pull()
	r.lun("file", "")
	r.plug()
	r.refusedFlash("a reader without a card", image+" "+r.disk+" --yes --serial R-4711", 4, "no card")
}

// TestFlash writes a card, is stopped in the middle, and brings the image all the same.
func TestFlash(t *testing.T) {
	r := newReader(t, 16*mib, "")
	data, image := diskImage(t, 13*mib+512)
	whole := func(what string) {
		t.Helper()
		if !bytes.Equal(r.at(0, len(data)), data) {
			t.Errorf("%s: the card is not the image", what)
		}
		if left, _ := filepath.Glob("/root/.cache/provision/flash/*"); len(left) > 0 {
			t.Errorf("%s: %v is left", what, left)
		}
		if _, err := os.Stat("/sys/class/block/" + filepath.Base(r.disk) + "1"); err != nil {
			t.Errorf("%s: the kernel has not seen the partition: %v", what, err)
		}
	}
	full := os.Getenv("PROVISION_LAB_FULL") != ""
	for _, tt := range []struct {
		what    string
		stop    func(*exec.Cmd)
		status  int
		says    string
		resumed bool
		full    bool
	}{
		{"pulled out", func(*exec.Cmd) { r.pull() }, 3, "the card has gone", false, false},
		{"Ctrl-C", func(c *exec.Cmd) { _ = c.Process.Signal(os.Interrupt) }, 3, "interrupt", true, true},
		{"kill -9", func(c *exec.Cmd) { _ = c.Process.Kill() }, -1, "", false, true},
	} {
		if tt.full && !full {
			continue
		}
		clearCard(t, r)
		var said bytes.Buffer
		cmd := exec.Command("provision", "card", "flash", image, r.disk, "--yes", "--serial", "R-4711")
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lab.Await(t, 60*time.Second, func() error {
			if !bytes.Equal(r.at(8*mib, 4096), data[8*mib:8*mib+4096]) {
				return errors.New("nothing is written")
			}
			return nil
		})
		tt.stop(cmd)
		_ = cmd.Wait()
		t.Logf("%s: status %d\n%s", tt.what, cmd.ProcessState.ExitCode(), said.String())
		if cmd.ProcessState.ExitCode() != tt.status || !strings.Contains(said.String(), tt.says) {
			t.Errorf("%s: status %d, want %d and %q", tt.what, cmd.ProcessState.ExitCode(), tt.status, tt.says)
		}
		if tt.status == 3 && !strings.Contains(said.String(), "half-written") {
			t.Errorf("%s: it does not say that the card is half-written", tt.what)
		}
		if got := r.at(0, 512); !bytes.HasPrefix(got, []byte("provision card flash: this card is half-written")) || got[510] == 0x55 {
			t.Errorf("%s: the card does not say so: %q", tt.what, got)
		}
		if tt.what == "pulled out" {
			r.plug()
		}
		began := time.Now()
		text, code := flashing(image + " <<< 'acme sd reader 16.8 mb'")
		t.Logf("again, after %s: status %d, %.1f s\n%s", tt.what, code, time.Since(began).Seconds(), text)
		if resumed := strings.Contains(text, "went on at "); code != 0 || resumed != tt.resumed {
			t.Errorf("%s: status %d, went on where it was stopped: %v", tt.what, code, resumed)
		}
		whole(tt.what)
	}
	if !full {
		return // packed images are package flash's
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(z.Close(), os.WriteFile(image+".gz", b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	clearCard(t, r)
	bed.Sh(t, fmt.Sprintf("cd %s; sha256sum raspios.img.gz > raspios.img.gz.sha256; provision card flash raspios.img.gz %s --yes --size %d", filepath.Dir(image), r.disk, 16*mib))
	whole("packed")
}

// clearCard has other data on the card.
func clearCard(t *testing.T, r *reader) {
	t.Helper()
	f, err := os.OpenFile(r.file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 16*mib), 0); err != nil {
		t.Fatal(err)
	}
	// What the host has in memory of it is of another life.
	bed.Sh(t, "blockdev --flushbufs "+r.disk)
}

// TestFlashBroken: a card that takes no more in the middle, since what is behind it is full.
func TestFlashBroken(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=9M"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	file := dir + "/card"
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 24*mib)); err != nil {
		t.Fatal(err)
	}
	r := newReader(t, 0, file)
	_, image := diskImage(t, 20*mib)
	out, code := flashing(fmt.Sprintf("%s %s --yes --serial R-4711", image, r.disk))
	t.Logf("status %d\n%s", code, out)
	if code != 3 || !strings.Contains(out, "cannot write to the card at ") || !strings.Contains(out, "half-written") || strings.Contains(out, "has gone") {
		t.Error("it does not say what is wrong")
	}
	if !bytes.HasPrefix(r.at(0, 512), []byte("provision card flash: this card is half-written")) {
		t.Error("the card does not say so")
	}
}

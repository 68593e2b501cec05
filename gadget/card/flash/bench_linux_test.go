package flash

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkFlash writes (and reads back) a loop device beside what people type: dd, and xz -dc into dd, which read nothing back. The
// image is half noise; its xz file has blocks of 24 MiB, as `xz -T0` makes them.
func BenchmarkFlash(b *testing.B) {
	const size = 96 << 20
	dir := b.TempDir()
	image := filepath.Join(dir, "image")
	data := make([]byte, size)
	for at := 0; at < size; at += 2 << 20 {
		copy(data[at:], noiseBytes(1<<20, uint64(at>>20)))
	}
	data[510], data[511] = 0x55, 0xaa
	if err := os.WriteFile(image, data, 0o600); err != nil {
		b.Fatal(err)
	}
	if out, err := exec.Command("xz", "-k", "-T2", "-1", "--block-size=25165824", image).CombinedOutput(); err != nil {
		b.Skipf("skipped: xz: %v: %s", err, out)
	}
	dev := loop(b, sparse(b, dir, size+64<<20))
	ours := func(file string) func(b *testing.B) {
		return func(b *testing.B) {
			b.SetBytes(size)
			var wrote float64
			for b.Loop() {
				target := opened(b, dev)
				got, err := Write(b.Context(), job(b, file, target))
				if err != nil {
					b.Fatal(err)
				}
				wrote += got.Wrote.Seconds()
				target.Close()
			}
			b.ReportMetric(size/1e6/(wrote/float64(b.N)), "written-MB/s")
		}
	}
	typed := func(line string) func(b *testing.B) {
		return func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				if out, err := exec.Command("sh", "-c", line, image, dev).CombinedOutput(); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
			}
		}
	}
	b.Run("plain", ours(image))
	b.Run("plain dd", typed("dd if=$0 of=$1 bs=4M oflag=direct conv=fsync"))
	b.Run("xz", ours(image+".xz"))
	b.Run("xz dd", typed("xz -dc $0.xz | dd of=$1 bs=4M iflag=fullblock oflag=direct conv=fsync"))
	b.Run("xz -T2 dd", typed("xz -T2 -dc $0.xz | dd of=$1 bs=4M iflag=fullblock oflag=direct conv=fsync"))
}

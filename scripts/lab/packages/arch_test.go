//go:build lab && linux

package packages

import (
	"debug/buildinfo"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// platform is what packages of one kind of processor are called, by which their installers refuse another machine's.
type platform struct {
	goarch, goarm  string
	file           string // in the names of the archive and the system extension
	deb, debFile   string // armhf is Debian's word for ARMv7 and Raspberry Pi OS' for ARMv6, so two files have it
	rpm, apk       string
	emulator, core string // qemu-user(1), and the least processor that it has to run on
}

var platforms = []platform{
	{"amd64", "", "linux-amd64", "amd64", "amd64", "x86_64", "x86_64", "qemu-x86_64-static", "qemu64"},
	{"arm64", "", "linux-arm64", "arm64", "arm64", "aarch64", "aarch64", "qemu-aarch64-static", "cortex-a53"},
	{"arm", "7", "linux-armv7", "armhf", "armhf", "armv7hl", "armv7", "qemu-arm-static", "cortex-a7"},
	{"arm", "6", "linux-armv6", "armhf", "armhf-armv6", "armv6hl", "armhf", "qemu-arm-static", "arm1176"},
}

// The packages of each platform say whose they are, as the three formats have it, and the program in each, also in the archive and the
// system extension, is built for that processor and runs on the least of its kind: a Pi Zero's dies of what an ARMv7 has more.
func TestEveryPlatform(t *testing.T) {
	if !full {
		t.Skip("skipped: the packages of other processors are made in the full run (PROVISION_LAB_FULL=1)")
	}
	lab.Need(t, lab.ARM)
	t.Parallel()
	dir := packages(t, first)
	for _, p := range platforms {
		t.Run(p.file, func(t *testing.T) {
			deb, rpm, apk := one(t, dir, "provision_1.0.0-1_"+p.debFile+".deb"), one(t, dir, "provision-1.0.0-1."+p.rpm+".rpm"), one(t, dir, "provision-1.0.0-r1."+p.apk+".apk")
			for what, got := range map[string]string{
				p.deb: output(t, "dpkg-deb", "-f", deb, "Architecture"),
				p.rpm: output(t, "rpm", "-qp", "--nosignature", "--qf", "%{ARCH}", rpm),
			} {
				if strings.TrimSpace(got) != what {
					t.Errorf("it is for %q, want %q", got, what)
				}
			}
			if info := output(t, "bsdtar", "-xOf", apk, ".PKGINFO"); !strings.Contains(info, "\narch = "+p.apk+"\n") {
				t.Errorf("it is not for %s:\n%s", p.apk, info)
			}
			var programs []string
			for _, archive := range []string{deb, rpm, apk, one(t, dir, "provision-1.0.0-"+p.file+".tar.gz"), one(t, dir, "provision-1.0.0-"+p.file+".sysext.tar.gz")} {
				x := filepath.Join(t.TempDir(), "x")
				if archive == deb {
					unpacked(t, x, "dpkg-deb", "-x", archive)
				} else {
					unpacked(t, x, "bsdtar", "-xf", archive, "-C")
				}
				found := strings.Fields(output(t, "find", x, "-type", "f", "-name", "provision", "-perm", "0755", "-size", "+5000k"))
				if len(found) != 1 {
					t.Fatalf("%s has the programs %q", archive, found)
				}
				programs = append(programs, found[0])
				info, err := buildinfo.ReadFile(found[0])
				if err != nil {
					t.Fatalf("%s: %v", archive, err)
				}
				for key, want := range map[string]string{"GOOS": "linux", "GOARCH": p.goarch, "GOARM": p.goarm} {
					if got := setting(info, key); got != want {
						t.Errorf("%s: %s is %q, want %q", archive, key, got, want)
					}
				}
				output(t, "cmp", programs[0], found[0])
			}
			if said := output(t, p.emulator, "-cpu", p.core, programs[0], "version"); !strings.Contains(said, "v1.0.0") || !strings.Contains(said, "linux/"+p.goarch) {
				t.Errorf("on %s it says %q", p.core, said)
			}
			if p.goarm == "7" { // that the judge of the other one can say no
				if out, err := exec.Command(p.emulator, "-cpu", "arm1176", programs[0], "version").CombinedOutput(); err == nil {
					t.Errorf("what is for ARMv7 runs on an arm1176: %s", out)
				}
			}
		})
	}
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

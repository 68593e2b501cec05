//go:build lab && linux

package packages

import (
	"debug/buildinfo"
	"debug/macho"
	"debug/pe"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// foreign is an archive for those who prepare cards and machines on another system.
type foreign struct {
	name, ending, goos, goarch string
	file                       string // what file(1) says of the program
}

var foreigners = []foreign{
	{"windows-amd64", ".zip", "windows", "amd64", "PE32+ executable (console) x86-64"},
	{"darwin-amd64", ".tar.gz", "darwin", "amd64", "Mach-O 64-bit x86_64 executable"},
	{"darwin-arm64", ".tar.gz", "darwin", "arm64", "Mach-O 64-bit arm64 executable"},
}

// The archives for Windows and macOS are opened by the tools of those systems: Windows and macOS have bsdtar, and unzip reads what
// Windows itself reads. They hold one folder whose names are good on every system, the texts as they are in the sources, and a program
// that its system starts.
func TestForeignArchives(t *testing.T) {
	if !full {
		t.Skip("skipped: the archives for Windows and macOS are made in the full run (PROVISION_LAB_FULL=1)")
	}
	t.Parallel()
	dir := packages(t, first)
	linux := filepath.Join(t.TempDir(), "linux")
	unpacked(t, linux, "tar", "-xzf", one(t, dir, "provision-1.0.0-linux-"+arch("deb")+".tar.gz"), "-C")
	for _, f := range foreigners {
		t.Run(f.name, func(t *testing.T) {
			archive, top := one(t, dir, "provision-1.0.0-"+f.name+f.ending), "provision-1.0.0-"+f.name
			x := filepath.Join(t.TempDir(), "x")
			unpacked(t, x, "bsdtar", "-xf", archive, "-C")
			if f.ending == ".zip" {
				output(t, "unzip", "-tq", archive)
				again := filepath.Join(t.TempDir(), "again")
				// -a: texts that say they are texts get this system's ends of lines, which is to change nothing.
				unpacked(t, again, "unzip", "-aq", archive, "-d")
				output(t, "diff", "-r", x, again)
			}
			names(t, archive, top)

			program := "provision" + map[bool]string{true: ".exe"}[f.goos == "windows"]
			want := map[string]string{ // in the archive: in the sources, or in Linux' archive
				"LICENSE": "../../../LICENSE", "README.md": "../../../README.md", "CHANGELOG.md": "../../../CHANGELOG.md", "full-example.yaml": "../../../docs/full.yaml",
				"sbom.cdx.json":           one(t, dir, top+".cdx.json"),
				"third-party-licenses.gz": "", "completions/provision.bash": "", "completions/_provision": "", "completions/provision.fish": "",
				"roles/provision/tasks/main.yml": "", "roles/provision/defaults/main.yml": "", "roles/provision/meta/main.yml": "", "roles/provision/library/provision.py": "",
			}
			var got []string
			err := filepath.WalkDir(filepath.Join(x, top), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				name, err := filepath.Rel(filepath.Join(x, top), path)
				if err != nil {
					return err
				}
				got = append(got, name)
				info, err := d.Info()
				if mode := info.Mode().Perm(); err == nil && mode != 0o644 && name != program || mode != 0o755 && name == program {
					t.Errorf("%s has the mode %o", name, mode)
				}
				source, ok := want[name]
				switch {
				case name == program:
					f.starts(t, path)
					return err
				case f.goos == "windows" && name == "completions/provision.ps1":
					text := read(t, path)
					if !strings.HasPrefix(text, "# powershell completion for provision") || !strings.Contains(text, "Register-ArgumentCompleter -CommandName 'provision'") {
						t.Errorf("%s begins with %.60q", name, text)
					}
					return err
				case !ok:
					t.Errorf("%s: nobody asked for it", name)
					return err
				case source == "":
					source = filepath.Join(linux, "provision-1.0.0-linux-"+arch("deb"), name)
				}
				delete(want, name)
				if read(t, path) != read(t, source) {
					t.Errorf("%s is not what %s is", name, source)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			for name := range want {
				t.Errorf("it has no %s", name)
			}
			if !slices.Contains(got, program) {
				t.Errorf("it has no %s", program)
			}
			if said := output(t, "file", "-b", filepath.Join(x, top, program)); !strings.HasPrefix(said, f.file) {
				t.Errorf("file says %s", said)
			}
			// The licenses of all that is linked in go along.
			licenses := output(t, "gzip", "-dc", filepath.Join(x, top, "third-party-licenses.gz"))
			info, err := buildinfo.ReadFile(filepath.Join(x, top, program))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range info.Deps {
				if !strings.Contains(licenses, "=== "+m.Path+" "+m.Version+"\n") {
					t.Errorf("the license of %s %s is missing", m.Path, m.Version)
				}
			}
			for key, value := range map[string]string{"GOOS": f.goos, "GOARCH": f.goarch, "CGO_ENABLED": "0"} {
				if !slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == key && s.Value == value }) {
					t.Errorf("it was not built with %s=%s", key, value)
				}
			}
		})
	}
	// The sums are those of all files beside them, and of no other.
	sums := read(t, filepath.Join(dir, "SHA256SUMS"))
	check := exec.Command("sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if listed := strings.Contains(sums, "  "+e.Name()+"\n"); listed == strings.HasPrefix(e.Name(), "SHA256SUMS") {
			t.Errorf("SHA256SUMS has %s: %v", e.Name(), listed)
		}
	}
}

// starts looks into the header of a program for what its system needs to start it.
func (f foreign) starts(t *testing.T, path string) {
	t.Helper()
	if !strings.Contains(read(t, path), "v1.0.0") {
		t.Error("the program does not know its version")
	}
	if f.goos == "windows" {
		p, err := pe.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		h, ok := p.OptionalHeader.(*pe.OptionalHeader64)
		if !ok || p.Machine != pe.IMAGE_FILE_MACHINE_AMD64 || h.Subsystem != pe.IMAGE_SUBSYSTEM_WINDOWS_CUI || p.Characteristics&pe.IMAGE_FILE_EXECUTABLE_IMAGE == 0 {
			t.Errorf("machine %#x, characteristics %#x, %+v", p.Machine, p.Characteristics, p.OptionalHeader)
		}
		return
	}
	m, err := macho.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if cpu := map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[f.goarch]; m.Cpu != cpu || m.Type != macho.TypeExec {
		t.Errorf("%s %s", m.Cpu, m.Type)
	}
	const codeSignature = 0x1d // LC_CODE_SIGNATURE: Apple's own processors run nothing without one (mach-o/loader.h)
	signed := slices.ContainsFunc(m.Loads, func(l macho.Load) bool { return m.ByteOrder.Uint32(l.Raw()) == codeSignature })
	if f.goarch == "arm64" && !signed {
		t.Error("it is not signed, so no Mac of this processor starts it")
	}
}

// reserved are names that Windows takes for devices, whatever follows a point.
var reserved = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$`)

// names checks those of an archive, as they stand in it: below its folder, and files of their own wherever they are unpacked.
func names(t *testing.T, archive, top string) {
	t.Helper()
	seen := map[string]bool{}
	list := strings.Split(strings.TrimSpace(output(t, "bsdtar", "-tf", archive)), "\n")
	if len(list) < 10 {
		t.Errorf("it holds only %q", list)
	}
	for _, name := range list {
		if !strings.HasPrefix(name, top+"/") || !filepath.IsLocal(name) || filepath.Clean(name) != name || strings.ContainsAny(name, `\:*?"<>|`) {
			t.Errorf("%q leads elsewhere, or cannot be a name on Windows", name)
		}
		if seen[strings.ToLower(name)] {
			t.Errorf("%q is there twice where case does not count", name)
		}
		seen[strings.ToLower(name)] = true
		for _, part := range strings.Split(name, "/") {
			if reserved.MatchString(part) || strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") {
				t.Errorf("%q is no name on Windows", name)
			}
		}
	}
}

// unpacked makes a folder and calls a tool with it as the last argument.
func unpacked(t *testing.T, dir string, argv ...string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	output(t, append(argv, dir)...)
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

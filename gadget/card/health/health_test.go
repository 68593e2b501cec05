package health

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/gadget/card/bootfiles"
	"github.com/provision-net/provision/gadget/doctor"
)

type files map[string]string

func (f files) read(name string) ([]byte, error) {
	if s, ok := f[name]; ok {
		return []byte(s), nil
	}
	return nil, nil
}

const line = "console=tty1 root=PARTUUID=deadbeef-02 rootwait\n"

// prepared is a card after `card prepare`.
func prepared(t *testing.T) files {
	t.Helper()
	f := files{"config.txt": "auto_initramfs=1\n", "cmdline.txt": line}
	o, err := bootfiles.Setup{User: "me", Hash: "*", Program: []byte("\x7fELF\x01\x01\x01" + strings.Repeat("\x00", 11) + "\x28" + strings.Repeat("\x00", 45))}.Options(bootfiles.Release{Hook: bootfiles.FirstRun, Dir: "/boot/firmware"})
	if err != nil {
		t.Fatal(err)
	}
	o.Gadget = true
	changes, err := bootfiles.Renew(f.read, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		f[c.Path] = string(c.After)
	}
	return f
}

func booted(t *testing.T) files {
	f := prepared(t)
	maps.DeleteFunc(f, func(name, _ string) bool {
		return name == bootfiles.ScriptName || strings.HasPrefix(name, bootfiles.Folder)
	})
	f["cmdline.txt"] = line
	f[bootfiles.LogName] = "2026-01-01T00:00:00Z first boot\n2026-01-01T00:00:01Z done\n"
	return f
}

func judge(t *testing.T, f files, spoil func(*Input)) doctor.Report {
	t.Helper()
	in := Input{Read: f.read, Board: DefaultBoard, Looked: true, Free: 100 << 20, Config: func(b []byte) error {
		if strings.HasPrefix(string(b), "bad") {
			return errors.New("line 1: bad")
		}
		return nil
	}}
	if spoil != nil {
		spoil(&in)
	}
	r, err := Look(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWell(t *testing.T) {
	for name, f := range map[string]files{"prepared": prepared(t), "booted": booted(t)} {
		if r := judge(t, f, nil); len(r.Findings) > 0 {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

func TestLook(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(files)
		in     func(*Input)
		booted bool
		want   doctor.Code
		cure   string
	}{
		{name: "no overlay", spoil: func(f files) { f["config.txt"] = "a=1\n" }, want: doctor.OverlayMissing, cure: "card prepare"},
		{name: "overlay for another board", spoil: func(f files) { f["config.txt"] = "[cm4]\ndtoverlay=dwc2\n" }, want: doctor.OverlayShadowed, cure: "[all]"},
		{name: "broken line", spoil: func(f files) { f["cmdline.txt"] = strings.ReplaceAll(f["cmdline.txt"], "\n", "\r\n") }, want: doctor.Cmdline, cure: "card prepare"},
		{name: "no line", spoil: func(f files) { delete(f, "cmdline.txt") }, want: doctor.Cmdline, cure: "anew"},
		{name: "damaged", in: func(in *Input) { in.Problems = []string{"tables differ"} }, want: FileSystem, cure: "fsck.vfat"},
		{name: "pulled out", in: func(in *Input) { in.Unclean = true }, want: Unclean, cure: "eject"},
		{name: "full", in: func(in *Input) { in.Free = 1000 }, want: Full, cure: "remove"},
		{name: "interrupted", spoil: func(f files) { delete(f, "provision") }, want: Half, cure: "card undo"},
		{name: "record unreadable", spoil: func(f files) { f[bootfiles.RecordName] = "{" }, want: Half, cure: "anew"},
		{name: "hook edited away", spoil: func(f files) { f["cmdline.txt"] = line + " " }, want: HookLost, cure: "card prepare"},
		{name: "script lost", spoil: func(f files) { delete(f, bootfiles.ScriptName); delete(f, bootfiles.RecordName) }, want: ScriptLost, cure: "systemd."},
		{name: "script edited on Windows", spoil: func(f files) { f[bootfiles.ScriptName] = strings.ReplaceAll(f[bootfiles.ScriptName], "\n", "\r\n") }, want: LineEnds, cure: "card prepare"},
		{name: "first boot failed", booted: true, spoil: func(f files) { f[bootfiles.LogName] += "2026-01-01T00:00:02Z cannot put a to b\n" }, want: FirstBoot, cure: "boot again"},
		{name: "first boot cut short", booted: true, spoil: func(f files) { f[bootfiles.LogName] += "2026-01-01T00:00:02Z first boot\n" }, want: FirstBoot, cure: "boot again"},
		{name: "secrets left", booted: true, spoil: func(f files) { f[bootfiles.Folder+"/account"] = "me:*\n" }, want: SecretsLeft, cure: bootfiles.LogName},
		{name: "configuration", spoil: func(f files) { f["provision.yaml"] = "bad\n" }, want: BadConfig, cure: "validate"},
		{name: "user-data", spoil: func(f files) { f["user-data"] = "#cloud-config\r\n" }, want: NoHeader, cure: "first line"},
		{name: "no program", spoil: func(f files) { f["provision"] = "#!/bin/sh" }, want: Program, cure: "--program"},
		{name: "a program of 64 bits", booted: true, spoil: func(f files) {
			f["provision"] = "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 11) + "\xb7" + strings.Repeat("\x00", 45)
		}, want: Program, cure: "--board"},
		{name: "old guide", spoil: func(f files) { f["wpa_supplicant.conf"] = "network={}\n" }, want: Ignored, cure: "--wifi"},
	} {
		f := prepared(t)
		if c.booted {
			f = booted(t)
		}
		if c.spoil != nil {
			c.spoil(f)
		}
		r := judge(t, f, c.in)
		i := slices.IndexFunc(r.Findings, func(x doctor.Finding) bool { return x.Code == c.want })
		if i < 0 {
			t.Errorf("%s: %+v", c.name, r.Findings)
			continue
		}
		if x := r.Findings[i]; !strings.Contains(strings.Join(x.Cure, "; "), c.cure) || len(x.Evidence) == 0 || x.Culprit == "" {
			t.Errorf("%s: %+v", c.name, x)
		}
		if n := len(r.Findings); n != 1 && c.name != "script edited on Windows" && c.name != "no line" {
			t.Errorf("%s: %d findings: %+v", c.name, n, r.Findings)
		}
	}
	// An error of an earlier first boot is history.
	f := booted(t)
	f[bootfiles.LogName] = "TZ first boot\nTZ cannot put a to b\n" + f[bootfiles.LogName]
	if r := judge(t, f, nil); len(r.Findings) > 0 {
		t.Errorf("%+v", r.Findings)
	}
	if _, err := Look(Input{Read: func(string) ([]byte, error) { return nil, errors.New("gone") }, Board: DefaultBoard}); err == nil {
		t.Error("a card that cannot be read is judged")
	}
}

func FuzzLook(f *testing.F) {
	f.Add("include a\n[all]\ndtoverlay=dwc2\n", line, "T first boot\nT cannot\n", `{"version":1,"changes":[{"path":"a","after":"00"}]}`)
	f.Fuzz(func(t *testing.T, config, cmdline, log, record string) {
		fs := files{"config.txt": config, "cmdline.txt": cmdline, bootfiles.LogName: log, bootfiles.RecordName: record, "a": config}
		if _, err := Look(Input{Read: fs.read, Board: DefaultBoard, Free: -1}); err != nil {
			t.Fatal(err)
		}
	})
}

// Package health says what is wrong with a card that is not in a Pi: its file system,
// the boot files (which package doctor judges as on a running board), how far its
// preparation got, what the first boot has logged, and files that the release on it
// does not read any more. It is pure, and never guesses: findings have evidence.
package health

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/gadget/bootfile"
	"github.com/provision-net/provision/gadget/card/bootfiles"
	"github.com/provision-net/provision/gadget/doctor"
	"github.com/provision-net/provision/provision/facts"
)

// Codes of findings; codes stay.
const (
	FileSystem  doctor.Code = "file-system"   // it contradicts itself
	Unclean     doctor.Code = "unclean"       // it was not unmounted
	Full        doctor.Code = "full"          // no room for the board's own updates
	Half        doctor.Code = "half-prepared" // writing was interrupted
	HookLost    doctor.Code = "hook-lost"     // nobody calls the first boot's script
	ScriptLost  doctor.Code = "script-lost"   // the hook calls what is not there
	LineEnds    doctor.Code = "line-ends"     // a file for Linux with Windows' line ends
	FirstBoot   doctor.Code = "first-boot"    // its log has errors
	SecretsLeft doctor.Code = "secrets-left"  // what the first boot should have moved
	Ignored     doctor.Code = "ignored-file"  // this release does not read it
	BadConfig   doctor.Code = "config"        // provision.yaml
	NoHeader    doctor.Code = "no-header"     // user-data that cloud-init does not take
	Program     doctor.Code = "program"       // the board cannot run it
)

// DefaultBoard is the model that a card is looked at for.
const DefaultBoard = "Raspberry Pi Zero W"

// Input is a card.
type Input struct {
	Read bootfiles.Read
	// Board is the device-tree model of the board that it is for.
	Board string
	// Problems are what is wrong with the file system; Unclean: it was not unmounted.
	// Looked is false where the system hides it.
	Problems []string
	Unclean  bool
	Looked   bool
	Free     int64 // bytes; -1 unknown
	// Config judges a configuration.
	Config func(text []byte) error
}

// minFree is what an update of the firmware's files may need at once.
const minFree = 8 << 20

// boot is where facts have the files.
const boot = "/boot"

type look struct {
	in      Input
	release bootfiles.Release
	r       doctor.Report
	err     error
}

// Look looks at everything. Errors are those of Read.
func Look(in Input) (doctor.Report, error) {
	l := &look{in: in}
	f := &facts.Facts{Files: map[string]facts.File{}}
	f.Machine.Offline, f.Machine.Board, f.USB.Boot = true, in.Board, boot
	files, err := bootfiles.Texts(in.Read)
	if err != nil {
		return l.r, err
	}
	if b := l.text("cmdline.txt"); b != nil {
		files["cmdline.txt"] = string(b)
	}
	for name, text := range files {
		f.Files[path.Join(boot, name)] = facts.File{Mode: 0o644, Text: text}
	}
	l.r = doctor.Diagnose(doctor.Input{Facts: f})
	l.r.Blind = []string{"the system on the card's other partition"}
	if _, ok := f.Files[boot+"/cmdline.txt"]; !ok {
		l.found(doctor.Finding{Code: doctor.Cmdline, Severity: doctor.Error, Culprit: "there is no cmdline.txt", Evidence: []string{"the boot partition has no file of that name"},
			Cure: []string{"flash the card anew: nothing else has the number of its root file system"}})
	}
	// The findings name files as on a running board.
	for i := range l.r.Findings {
		for _, list := range [][]string{l.r.Findings[i].Evidence, l.r.Findings[i].Cure} {
			for k := range list {
				list[k] = strings.ReplaceAll(list[k], boot+"/", "")
			}
		}
		l.r.Findings[i].Cure = without(l.r.Findings[i].Cure, "reboot")
		switch code := l.r.Findings[i].Code; {
		// What is no command line at all cannot be mended by adding to it.
		case code == doctor.Cmdline && l.r.Findings[i].Severity == doctor.Error:
		case slices.Contains([]doctor.Code{doctor.OverlayMissing, doctor.OverlayShadowed, doctor.HostMode, doctor.OTGMode, doctor.Cmdline}, code):
			l.r.Findings[i].Cure = append([]string{"provision card prepare"}, l.r.Findings[i].Cure...)
		}
	}
	for i := range l.r.Looked {
		l.r.Looked[i].Says = strings.ReplaceAll(l.r.Looked[i].Says, boot+"/", "")
	}
	l.release = bootfiles.Recognise(func(n string) bool { return l.text(n) != nil }, string(l.text("config.txt")), string(l.text("cmdline.txt")))
	l.fileSystem()
	l.preparation()
	l.program()
	l.log()
	l.texts()
	l.ignored()
	return l.r, l.err
}

func without(list []string, what string) []string {
	var out []string
	for _, s := range list {
		if s != what {
			out = append(out, s)
		}
	}
	return out
}

func (l *look) found(f doctor.Finding) { l.r.Findings = append(l.r.Findings, f) }

func (l *look) well(what, format string, args ...any) {
	l.r.Looked = append(l.r.Looked, doctor.Look{What: what, Says: fmt.Sprintf(format, args...)})
}

// text reads a file; nil is one that is not there.
func (l *look) text(name string) []byte {
	b, err := l.in.Read(name)
	if err != nil && l.err == nil {
		l.err = err
	}
	return b
}

func (l *look) fileSystem() {
	switch {
	case !l.in.Looked:
		l.r.Blind = append(l.r.Blind, "the file system: it is mounted")
	case len(l.in.Problems) > 0:
		l.found(doctor.Finding{Code: FileSystem, Severity: doctor.Error, Culprit: "the file system of the boot partition is damaged", Evidence: l.in.Problems,
			Cure: []string{"save what you need from it, then fsck.vfat -a, or chkdsk on Windows", "flash the card anew; when it happens again, the card is worn out"}})
	default:
		l.well("file system", "its tables and folders agree")
	}
	if l.in.Unclean {
		l.found(doctor.Finding{Code: Unclean, Severity: doctor.Warning, Culprit: "the card was taken out, or the board lost its power, while it was mounted for writing",
			Evidence: []string{"the file system is marked as in use"}, Cure: []string{"fsck.vfat -a, or chkdsk on Windows; the board's own boot does it too", "eject the card before you take it out"}})
	}
	if l.in.Free >= 0 && l.in.Free < minFree {
		l.found(doctor.Finding{Code: Full, Severity: doctor.Warning, Culprit: "the boot partition is nearly full", Evidence: []string{fmt.Sprintf("%d kB are free", l.in.Free>>10)},
			Cure: []string{"remove what you put there; kernels that the board does not use may go too"}})
	}
}

// preparation looks how far `card prepare` and the first boot got.
func (l *look) preparation() {
	record, err := bootfiles.ReadRecord(l.in.Read)
	if err != nil {
		l.found(doctor.Finding{Code: Half, Severity: doctor.Warning, Culprit: "how to take the preparation back cannot be read", Evidence: []string{err.Error()}, Cure: []string{"flash the card anew"}})
		return
	}
	state, before, err := record.Where(l.in.Read)
	if err != nil {
		l.err = err
		return
	}
	script := l.text(bootfiles.ScriptName)
	hook := l.hooked()
	switch state {
	case bootfiles.Half:
		l.found(doctor.Finding{Code: Half, Severity: doctor.Error, Culprit: "the preparation was interrupted, or files were removed since", Evidence: []string{"as before it, or zeros: " + strings.Join(before, ", ")},
			Cure: []string{"provision card prepare, once more", "or provision card undo"}})
		return
	case bootfiles.Booted:
		l.well("first boot", "it has run")
		var left []string
		for _, w := range record {
			if w.Secret && l.text(w.Path) != nil {
				left = append(left, w.Path)
			}
		}
		if len(left) > 0 {
			l.found(doctor.Finding{Code: SecretsLeft, Severity: doctor.Warning, Culprit: "the first boot has left files with secrets on the card", Evidence: left,
				Cure: []string{"see " + bootfiles.LogName + " for the reason", "provision card prepare, and boot again; or remove them"}})
		}
	case bootfiles.Prepared:
		l.well("preparation", "it is there, and waits for the first boot")
	default:
		l.well("preparation", "none: provision card prepare makes one")
	}
	switch {
	case script != nil && !hook:
		l.found(doctor.Finding{Code: HookLost, Severity: doctor.Error, Culprit: "nobody calls the first boot's script", Evidence: []string{bootfiles.ScriptName + " is there; neither cmdline.txt nor user-data names it"},
			Cure: []string{"provision card prepare"}})
	case script == nil && l.called():
		l.found(doctor.Finding{Code: ScriptLost, Severity: doctor.Error, Culprit: "cmdline.txt calls a script that is not there: the board would power itself off", Evidence: []string{"cmdline.txt has systemd.run=, and there is no " + bootfiles.ScriptName},
			Cure: []string{"provision card prepare", "or take the words that begin with systemd. out of cmdline.txt"}})
	}
}

// program looks whether the board can run what is on the card.
func (l *look) program() {
	b := l.text("provision")
	if b == nil {
		return
	}
	p, err := bootfiles.ReadProgram(b)
	if err == nil {
		err = p.Fits(l.in.Read, l.in.Board)
	}
	if err != nil {
		l.found(doctor.Finding{Code: Program, Severity: doctor.Error, Culprit: "the board cannot run the program on the card", Evidence: []string{"provision: " + err.Error()},
			Cure: []string{"provision card prepare --program FILE", "or say with --board which Raspberry Pi the card is for"}})
	}
}

// called reports whether the command line names our script.
func (l *look) called() bool {
	run, _ := bootfile.ParseCmdline(string(l.text("cmdline.txt"))).Get("systemd.run")
	return path.Base(run) == bootfiles.ScriptName
}

func (l *look) hooked() bool {
	return l.called() || bytes.Contains(l.text("user-data"), []byte(bootfiles.ScriptName))
}

// log shows what the first boot said went wrong.
func (l *look) log() {
	var bad []string
	begun := false
	for line := range strings.Lines(string(l.text(bootfiles.LogName))) {
		line = strings.TrimSpace(line)
		begun = !strings.HasSuffix(line, "Z done") && (begun || strings.HasSuffix(line, "Z first boot"))
		if _, says, ok := strings.Cut(line, " "); ok && (strings.HasPrefix(says, "cannot ") || strings.HasPrefix(says, "failed: ")) {
			bad = append(bad, line[:min(len(line), 200)])
		}
		if strings.HasSuffix(line, "Z first boot") {
			bad = nil // an earlier one is history
		}
	}
	if begun {
		bad = append(bad, "the log begins and does not end: the board lost its power, or was reset")
	}
	if len(bad) > 0 {
		l.found(doctor.Finding{Code: FirstBoot, Severity: doctor.Error, Culprit: "the first boot could not do everything", Evidence: bad, Cure: []string{"mend the reason, then provision card prepare, and boot again"}})
	}
}

// texts looks at files whose form matters.
func (l *look) texts() {
	for _, name := range []string{bootfiles.ScriptName, "userconf.txt", "firstrun.sh"} {
		if bytes.Contains(l.text(name), []byte("\r\n")) {
			f := doctor.Finding{Code: LineEnds, Severity: doctor.Error, Culprit: name + " has the line ends of Windows", Evidence: []string{"Linux takes the carriage return for a part of each line"}, Cure: []string{"save it with Unix' line ends"}}
			if name == bootfiles.ScriptName {
				f.Cure = []string{"provision card prepare"}
			}
			l.found(f)
		}
	}
	if b := l.text("provision.yaml"); b != nil && l.in.Config != nil {
		if err := l.in.Config(b); err != nil {
			l.found(doctor.Finding{Code: BadConfig, Severity: doctor.Error, Culprit: "provision.yaml is not valid", Evidence: strings.Split(err.Error(), "\n"), Cure: []string{"mend it; provision validate FILE says the same"}})
		} else {
			l.well("provision.yaml", "valid")
		}
	}
	if b := l.text("user-data"); b != nil {
		if first, _, _ := bytes.Cut(b, []byte("\n")); !bytes.HasPrefix(first, []byte("#")) || bytes.HasSuffix(first, []byte("\r")) {
			l.found(doctor.Finding{Code: NoHeader, Severity: doctor.Error, Culprit: "cloud-init does not take this user-data", Evidence: []string{fmt.Sprintf("its first line is %q", first[:min(len(first), 60)])},
				Cure: []string{"make #cloud-config its first line, with Unix' line ends"}})
		}
	}
}

// ignored names files of guides for other releases.
func (l *look) ignored() {
	if l.text("wpa_supplicant.conf") != nil && l.release.Dir == "/boot/firmware" {
		l.found(doctor.Finding{Code: Ignored, Severity: doctor.Warning, Culprit: "wpa_supplicant.conf is not read by this release: Raspberry Pi OS takes it until Bullseye", Evidence: []string{l.release.Why},
			Cure: []string{"provision card prepare --wifi NAME --country CODE"}})
	}
}

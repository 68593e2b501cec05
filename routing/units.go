package routing

import (
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/unit"
)

// Units are the systemd units of the program that put the kernel's state back and keep it.
type Units struct {
	Restore, Watch string // texts of the unit files
	Why            string // why there are none
}

// Names of the units.
const (
	restoreUnit = "provision-restore.service"
	watchUnit   = "provision-watch.service"
	unitDir     = "/etc/systemd/system/"
)

// plan installs and enables the units, and has the watch started.
func (u Units) plan(f *facts.Facts, restore, watch bool) provision.Desired {
	var d provision.Desired
	note := func(text string) {
		d.Notes = append(d.Notes, provision.Note{Level: "warning", Subject: "after a reboot", Text: text})
	}
	switch {
	case f.Machine.Init != "systemd" && !f.Machine.Offline:
		note("what is under routing is gone until `provision restore` is run early in the boot, by provision-early under OpenRC: this machine's init is " + f.Machine.Init + "; start `provision watch` with it too")
		return d
	case u.Restore == "" || u.Watch == "":
		note("what is under routing is gone: no unit puts it back, because " + u.Why)
		return d
	}
	enable := func(name, text, target, why string) provision.Ref {
		// The link's target is relative, so that it also holds in a mounted image.
		d.Wants = append(d.Wants,
			file.Want(unitDir+name, []byte(text), 0o644, why),
			file.Dir(unitDir+target+".wants", "folder of enabled units"),
			file.Symlink(unitDir+target+".wants/"+name, "../"+name, "enables "+name))
		return file.Ref(unitDir + name)
	}
	if restore {
		enable(restoreUnit, u.Restore, "sysinit.target", "puts the firewall and kernel parameters back at boot")
	}
	if watch {
		ref := enable(watchUnit, u.Watch, "multi-user.target", "keeps them as they were committed")
		d.Triggers = append(d.Triggers, provision.Trigger{Name: watchUnit, On: []provision.Ref{ref}, Do: unit.Action(watchUnit), Why: "systemd reads the unit and starts the watch"})
	}
	return d
}

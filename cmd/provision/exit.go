package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/dnsdhcp/lease/journal"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/usbgadget"
	"github.com/provision-net/provision/vagrant/vbox"
)

// Exit statuses, the same for all commands; 64 to 77 are those of sysexits.h.
const (
	exitDone        = 0
	exitFailed      = 1  // failed, and what was begun has been gone back on
	exitDifferences = 2  // differences or problems found
	exitStuck       = 3  // failed and could not go back
	exitConflict    = 4  // two owners of one NIC, or of one USB device controller
	exitUsage       = 64 // bad configuration or usage
	exitMissing     = 69 // a manager or kernel feature is missing
	exitLocked      = 75 // another provision is at work
	exitPermission  = 77
)

const exitHelp = `
Exit status: 0 done; 1 failed, and what was begun has been gone back on; 2 differences or problems found; 3 failed and
could not go back; 4 conflict (two owners); 64 bad configuration or usage; 69 manager or kernel feature missing;
75 locked by another provision; 77 permission denied.`

// errDifferences ends a command with status 2; what differs has been printed.
var errDifferences = errors.New("differences found")

// usageError is a wrong call.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// finish prints the error of the command for people and returns the exit status.
func (g *globals) finish(command string, err error) int {
	g.progress.end()
	code := exitStatus(err)
	if err != nil && !errors.Is(err, errDifferences) && !errors.Is(err, syscall.EPIPE) {
		for _, l := range strings.Split("provision: "+strings.ReplaceAll(visibleLines(human(err)), "\n", "\n  "), "\n") {
			fmt.Fprintln(g.stderr, wrap(l, widthOf(g.stderr)))
		}
		switch code {
		case exitPermission:
			var said permissionError
			hint := "run it as root (sudo); `provision --detect` and `provision plan` work without"
			if w := strings.Fields(command); len(w) > 1 && (w[1] == "card" || w[1] == "host" || w[1] == "hook") {
				hint = "this account may not use that file or folder: mount the card or choose a place so that it may, or run it as root (sudo) or administrator"
			}
			if !errors.As(err, &said) {
				fmt.Fprintln(g.stderr, "  "+hint)
			}
		case exitUsage:
			var u usageError
			if errors.As(err, &u) {
				fmt.Fprintf(g.stderr, "  see `%s --help`\n", command)
			}
		}
	}
	return code
}

// human is the text of an error, without the system call of Go's errors of files.
func human(err error) string {
	text := err.Error()
	var file *fs.PathError
	if !errors.As(err, &file) || file.Op != "open" && !strings.HasSuffix(file.Op, "stat") && file.Op >= "a" { // stat's are GetFileAttributesEx, FindFirstFile and CreateFile on Windows
		return text
	}
	says := file.Path + ": " + file.Err.Error()
	if errors.Is(file.Err, fs.ErrNotExist) {
		says = "there is no " + file.Path
	}
	return strings.ReplaceAll(text, file.Error(), says)
}

func exitStatus(err error) int {
	var (
		conflict *backends.ConflictError
		stuck    *provision.StuckError
		locked   *provision.LockedError
		usage    usageError
		held     *usbgadget.BusyError // by somebody who came between our look and our step
	)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errDifferences):
		return exitDifferences
	case errors.As(err, &stuck), errors.Is(err, vbox.ErrStuck), cardStuck(err):
		return exitStuck
	case errors.As(err, &conflict), errors.As(err, &held), errors.Is(err, agent.ErrConflict), errors.Is(err, vbox.ErrTaken):
		return exitConflict
	case errors.As(err, &locked), errors.Is(err, journal.ErrInUse):
		return exitLocked
	case errors.As(err, &usage), errors.Is(err, agent.ErrConfig):
		return exitUsage
	case errors.Is(err, agent.ErrMissing), errors.Is(err, control.ErrNotRunning), errors.Is(err, usbgadget.ErrNoController), errors.Is(err, usbgadget.ErrNoFunction), errors.Is(err, vbox.ErrMissing):
		return exitMissing
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return exitPermission
	}
	return exitFailed
}

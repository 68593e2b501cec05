package agent

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// machineFile, in the state folder, holds the digest of the machine-id (facts.Machine.MachineID) that the state belongs to.
const machineFile = "machine"

// cloned says that the state folder came from another machine, with the image of a disk: empty where it did not, or where nobody can
// tell. id is this machine's digest.
func (a *Agent) cloned(id string) string {
	if a.offline() || id == "" {
		return ""
	}
	was, err := readBounded(filepath.Join(a.stateDir(), machineFile), 256)
	if err != nil || string(bytes.TrimSpace(was)) == id {
		return ""
	}
	return "the machine-id is another one than when the state in " + a.StateDir + " was written: is this a clone? Then keys, DUIDs and leases are those of the machine " +
		"that it was made of: `provision generalize` forgets them (if it is the same machine: rm " + filepath.Join(a.StateDir, machineFile) + ")"
}

// WarnOfClone logs, at the start of what keeps running, that the state is another machine's.
func (a *Agent) WarnOfClone() {
	id, err := readBounded("/etc/machine-id", 256)
	if err != nil {
		return
	}
	if why := a.cloned(facts.MachineDigest(string(bytes.TrimSpace(id)))); why != "" {
		a.Log.Warn(why)
	}
}

// cloneNotes is cloned as a note of plans and reports.
func (a *Agent) cloneNotes(id string) []provision.Note {
	if why := a.cloned(id); why != "" {
		return []provision.Note{{Level: "warning", Subject: "machine-id", Text: why}}
	}
	return nil
}

// belong records, once there is state, which machine it is the state of. A record that is there stands: whoever has a cloned state
// shall hear of it until it is gone.
func (a *Agent) belong(ctx context.Context, e *provision.Engine) {
	path := filepath.Join(a.stateDir(), machineFile)
	if _, err := os.Lstat(path); err == nil || a.offline() {
		return
	}
	if s, err := e.Status(ctx); err != nil || s.Commit == 0 {
		return
	}
	id, err := readBounded("/etc/machine-id", 256)
	digest := facts.MachineDigest(string(bytes.TrimSpace(id)))
	if err != nil || digest == "" {
		return
	}
	if err := os.WriteFile(path, []byte(digest+"\n"), 0o600); err != nil {
		a.Log.Warn("a clone of this machine could not be told from it", "error", err)
	}
}

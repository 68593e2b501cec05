//go:build lab && linux

package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/transcript"
)

var update = flag.Bool("update", false, "write docs/transcript.cast and its block in README.md anew")

// recorded is what a newcomer with a Vagrant machine would type.
var recorded = []string{
	"ip route show default",
	"provision --detect",
	"provision plan",
	"provision apply",
	"ip route show default",
	"provision verify",
	"provision revert",
	"ip route show default",
}

// The transcript in the README is what the program prints, on a terminal, on a machine as Vagrant leaves it: the NAT NIC under
// netplan wins, the bridged one has Vagrant's own networkd file.
func TestTranscript(t *testing.T) {
	t.Parallel()
	_, m := boot(t, "bookworm-netplan", lab.WorldOpts{}, lab.BootOpts{Config: lab.OnlyEth0, Overlay: vagrantEth1})
	m.AwaitAddrs(t, 40*time.Second, "eth0", "eth1")
	m.AwaitDefaults(t, 40*time.Second, "eth0", "eth1")
	var steps []transcript.Step
	for _, command := range recorded {
		steps = append(steps, transcript.Step{Command: command, Output: typed(t, m, command)})
	}
	if *update {
		if err := transcript.Write("../../..", "provision on a machine with a NAT NIC and a bridged NIC", steps); err != nil {
			t.Fatal(err)
		}
		return
	}
	cast, err := os.ReadFile(transcript.Recording("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	kept, err := transcript.Parse(cast)
	if err != nil {
		t.Fatal(err)
	}
	if says := transcript.Differ(transcript.Steady(steps), transcript.Steady(kept)); says != "" {
		t.Errorf("docs/transcript.cast and its block in README.md are not what the program says, `make docs` writes them anew: %s", says)
	}
}

// typed runs a command on a terminal of the machine (script(1)) and gives what stays there.
func typed(t *testing.T, m *lab.Machine, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, msg, code := m.RunCmd(ctx, lab.Cmd{
		Argv: []string{"script", "-qec", fmt.Sprintf("stty rows %d cols %d; %s", transcript.Rows, transcript.Columns, command), "/dev/null"},
		Env:  []string{"TERM=xterm-256color", "NO_COLOR="},
	})
	if code != 0 {
		t.Fatalf("%s: status %d\n%s%s", command, code, out, msg)
	}
	return transcript.Settled(out)
}

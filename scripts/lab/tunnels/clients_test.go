//go:build lab && linux

package tunnels

import (
	"os"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget"
)

// TestKernelClients runs the client's side with the kernel's devices: full and split tunnels, an endpoint
// that is found again when its handshakes grow stale, wg-quick beside it, a kill switch, name servers,
// and a peer in the LAN by proxy ARP and NDP. TestKernel has the heart of it.
func TestKernelClients(t *testing.T) {
	if os.Getenv("PROVISION_LAB_FULL") == "" {
		t.Skip("the clients once more, with the kernel's devices: PROVISION_LAB_FULL=1 runs it")
	}
	files := tools(t, map[string]string{})
	program, err := lab.Program(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files["provision"] = program
	files["client"] = gadget.Build(t, "./scripts/lab/tunnels/client", true, "-tags", "lab")
	files["people"] = gadget.Build(t, "./scripts/lab/tunnels/people", true, "-tags", "lab")
	run(t, gadget.Guest{
		Limit: 9 * time.Minute,
		Script: "export PROVISION_BINARY=/usr/local/bin/provision; client -test.v -test.timeout 5m && " +
			"people -test.v -test.timeout 8m -test.run '^Test(Client|ClientByName|OnTheLAN|BehindAVPN)$'",
		Files: files,
	}, "TestFull", "TestHeld", "TestSplit", "TestQuick", "TestName", "TestClient", "TestClientByName", "TestOnTheLAN", "TestBehindAVPN")
}

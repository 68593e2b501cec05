//go:build lab && linux

package inside

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/provision-net/provision/scripts/lab/gadget/bed"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !bed.InGuest() && flag.Lookup("test.list").Value.String() == "" {
		fmt.Println("skipped: these tests take modules out of the kernel and routes away; package gadget runs them in a guest")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

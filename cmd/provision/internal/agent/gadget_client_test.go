package agent

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/provision-net/provision/backends/backendtest"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
)

// With router: client the manager is told before the gadget is made, and no server has a rule for the link.
func TestClientLinks(t *testing.T) {
	f := backendtest.Dhcpcd("10.1.0")
	f.Machine.Serial = "00000000deadbeef"
	f.USB = facts.USB{ConfigFS: "/sys/kernel/config", LibComposite: true, Controllers: []facts.UDC{{Name: "dummy_udc.0", Driver: "dummy_udc", State: "not attached"}}}
	a := &Agent{Options: Options{Root: "/", StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		Config: Config{Version: 1, Gadget: gadget.Config{Gadget: gadget.Gadget{Profile: gadget.Modern, Router: gadget.RouterClient}}}}}
	r, err := a.gadgetPlan(t.Context(), f, a.Config.Gadget)
	if err != nil {
		t.Fatal(err)
	}
	told, made := -1, -1
	for i, w := range r.Desired.Wants {
		if w.Ref == file.Ref("/etc/dhcpcd.conf") {
			if told = i; !strings.Contains(w.Attrs[file.AttrContent], "interface usb0\nmetric 4000") || strings.Contains(w.Attrs[file.AttrContent], "denyinterfaces usb0") {
				t.Errorf("dhcpcd.conf is wanted as\n%s", w.Attrs[file.AttrContent])
			}
		}
		if made < 0 && gadgetKinds(w.Kind) {
			made = i
		}
	}
	if told < 0 || made < 0 || told > made {
		t.Errorf("dhcpcd is told at %d, the gadget is made at %d", told, made)
	}
	if rules := serveRules(a.Config.Serve, links(r.Links)); len(rules) > 0 || len(r.Links) != 1 {
		t.Errorf("the server serves %+v of %+v", rules, r.Links)
	}
	again, err := a.gadgetPlan(t.Context(), backendtest.NM("1.52.1"), gadget.Config{})
	if err != nil || len(again.Desired.Wants) > 0 {
		t.Errorf("without a gadget %+v is wanted, %v", again.Desired.Wants, err)
	}
}

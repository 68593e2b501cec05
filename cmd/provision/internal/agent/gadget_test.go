package agent

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/dnsdhcp"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/usbgadget"
)

func usbLinks() []GadgetLink {
	return []GadgetLink{
		{Gadget: "provision", Name: "usb0", MAC: "02:00:5e:00:53:01", Addresses: []netip.Prefix{netip.MustParsePrefix("10.55.0.1/29")}, Router: gadget.RouterNone, Routes: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16")}},
		{Name: "usb1", MAC: "02:00:5e:00:53:02", Router: gadget.RouterSplit, Routes: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16"), netip.MustParsePrefix("fd00:8::/32")}, MTU: 1400},
		{Name: "usb2", MAC: "02:00:5e:00:53:03", Router: gadget.RouterFull},
		{Name: "usb3", MAC: "02:00:5e:00:53:04", Router: gadget.RouterClient},
		{Name: "usb4", MAC: "02:00:5e:00:53:05", Router: gadget.RouterFull},
	}
}

// A link is served by name and address; what the file says of a name goes before, and a host that
// shares its own connection is never served.
func TestServeRules(t *testing.T) {
	c := dnsdhcp.Config{Links: []dnsdhcp.Rule{{Match: dnsdhcp.Match{Name: "usb4"}}, {Match: dnsdhcp.Match{Name: "usb*"}}}}
	got := serveRules(c, usbLinks())
	type short struct {
		Match  dnsdhcp.Match
		Router string
		DNS    []string
		Routes []string
		MTU    uint16
	}
	var all []short
	for _, r := range got {
		all = append(all, short{r.Match, r.Router, r.NameServers, r.Routes, r.MTU})
		if r.DHCP4.ConflictProbe == nil || *r.DHCP4.ConflictProbe || r.DHCP4.LeaseTime != "2m" {
			t.Errorf("%s: a host is kept waiting: %+v", r.Match.Name, r.DHCP4)
		}
	}
	want := []short{
		{dnsdhcp.Match{Name: "usb0", MAC: "02:00:5e:00:53:01"}, "none", []string{"none"}, nil, 0},
		{dnsdhcp.Match{Name: "usb1", MAC: "02:00:5e:00:53:02"}, "split", []string{"none"}, []string{"10.8.0.0/16", "fd00:8::/32"}, 1400},
		{dnsdhcp.Match{Name: "usb2", MAC: "02:00:5e:00:53:03"}, "full", nil, nil, 0},
	}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("got  %+v\nwant %+v", all, want)
	}
	// What the roof makes is a configuration that the server takes.
	c.Links = append(c.Links, got...)
	for _, p := range c.Problems() {
		t.Errorf("%s: %s", p.Path, p.Text)
	}
}

// The firewall hears of every service of a link that the file does not name.
func TestServedLinksAreTold(t *testing.T) {
	set := served(dnsdhcp.Config{Links: serveRules(dnsdhcp.Config{}, usbLinks()[:1])}, 0)
	if len(set.Services) != 5 {
		t.Fatalf("%+v", set.Services)
	}
	for _, s := range set.Services {
		if !slices.Equal(s.Interfaces, []string{"usb0"}) || !strings.HasPrefix(s.Why, "link usb0 ") {
			t.Errorf("%+v", s)
		}
	}
}

func TestServeConfig(t *testing.T) {
	root := t.TempDir()
	c := Config{Version: 1}
	if got, wanted, err := ServeConfig(root, c); err != nil || wanted || len(got.Links) != 0 {
		t.Errorf("nothing is up: %+v, %v, %v", got, wanted, err)
	}
	c.Gadget.Profile = gadget.Modern
	if _, wanted, err := ServeConfig(root, c); err != nil || !wanted {
		t.Errorf("a gadget will be: %v, %v", wanted, err)
	}
	w, err := memo(gadget.Result{Links: []gadget.Link{{Name: "usb0", MAC: "02:00:5e:00:53:01", Router: gadget.RouterNone}}, Devices: []gadget.Device{{Name: "provision"}},
		Desired: provision.Desired{Wants: []provision.Want{link.Up("mac:02:00:5e:00:53:01", "")}}}, gadget.Config{}, true)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, GadgetPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(w.Attrs[file.AttrContent]), 0o600); err != nil {
		t.Fatal(err)
	}
	got, wanted, err := ServeConfig(root, Config{Version: 1})
	if err != nil || !wanted || len(got.Links) != 1 || got.Links[0].Match.MAC != "02:00:5e:00:53:01" {
		t.Errorf("up: %+v, %v, %v", got.Links, wanted, err)
	}
	a := &Agent{Options: Options{Root: root}}
	scope, err := a.gadgetScope(provision.Desired{Wants: []provision.Want{{Ref: provision.Ref{Kind: "address", Name: "name:br-usb 10.0.0.1/24"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[provision.Ref]bool{
		link.Ref("mac:02:00:5e:00:53:01"):                           true, // was wanted
		{Kind: "address", Name: "name:br-usb 10.0.0.1/24"}:          true, // is wanted
		{Kind: "usb-function", Name: "provision/ecm.usb0"}:          true, // whatever it was
		file.Ref(GadgetPath):                                        true,
		link.Ref("name:eth0"):                                       false,
		{Kind: "sysctl", Name: "global net.ipv4.ip_forward"}:        false,
		{Kind: "address", Name: "mac:02:00:5e:00:53:09 10.1.1.1/8"}: false,
	} {
		if scope(ref) != want {
			t.Errorf("%s: in the scope %v, want %v", ref, scope(ref), want)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ServeConfig(root, Config{Version: 1}); err == nil || !strings.Contains(err.Error(), "gadget up` writes it anew") {
		t.Errorf("damaged: %v", err)
	}
}

// dhcpcd.conf is wanted by the NICs and by the gadget: what the one wants stays in what the other does.
func TestSharedFile(t *testing.T) {
	const path = gadget.DhcpcdFile
	f := &facts.Facts{Files: map[string]facts.File{path: {Text: "old\n"}}}
	nics := provision.Desired{Wants: []provision.Want{file.Content(path, []byte("old\nmetric 5\n"), "nics")}}
	if got := shared(f, nics).Files[path].Text; got != "old\nmetric 5\n" || f.Files[path].Text != "old\n" {
		t.Errorf("the gadget plans from %q, the facts are %q", got, f.Files[path].Text)
	}
	nics.Wants = append(nics.Wants, file.Content(path, []byte("old\nmetric 5\ndenyinterfaces usb0\n"), "gadget"))
	got := joined(nics)
	for _, w := range got.Wants {
		if w.Attrs[file.AttrContent] != "old\nmetric 5\ndenyinterfaces usb0\n" {
			t.Errorf("%+v", w)
		}
	}
	if nics.Wants[0].Attrs[file.AttrContent] != "old\nmetric 5\n" {
		t.Error("the planner's own want was changed")
	}
	// dhcpcd is started anew once, and looks after all NICs that either of them named.
	ref := []provision.Ref{file.Ref(path)}
	both := provision.Desired{Wants: nics.Wants, Expect: []provision.Want{{Ref: provision.Ref{Kind: "x", Name: "y"}, Via: []string{"dhcpcd-gadget"}}}, Triggers: []provision.Trigger{
		{Name: "dhcpcd-restart", On: ref, Do: daemon.Probe(daemon.DhcpcdRestart("mac:a,mac:b", "eth0", 5, true))},
		{Name: "other", On: ref, Do: provision.Action{Kind: "other"}},
		{Name: "dhcpcd-gadget", On: ref, Do: daemon.DhcpcdRestart("mac:b,mac:c", "", 0, true)}}}
	one := joined(both)
	if len(one.Triggers) != 2 || one.Triggers[0].Name != "dhcpcd-restart" || one.Triggers[0].Do.Args["selector"] != "mac:a,mac:b,mac:c" || one.Triggers[0].Do.Args["probe"] != "true" ||
		one.Triggers[1].Name != "other" || one.Expect[0].Via[0] != "dhcpcd-restart" {
		t.Errorf("%+v", one)
	}
	if len(both.Triggers) != 3 || both.Expect[0].Via[0] != "dhcpcd-gadget" {
		t.Error("the planners' own triggers were changed")
	}
}

// The server is installed for the links of a gadget, and never over somebody's own unit.
func TestServeUnit(t *testing.T) {
	root := t.TempDir()
	a := &Agent{Options: Options{Root: root, ServeUnit: "[Unit]\n"}}
	f := &facts.Facts{Machine: facts.Machine{Init: "systemd"}}
	r := gadget.Result{Links: []gadget.Link{{Name: "usb0", Router: gadget.RouterNone}}}
	if d := a.serveUnit(f, r); len(d.Wants) != 3 {
		t.Errorf("%+v", d)
	}
	if d := a.serveUnit(f, gadget.Result{Links: []gadget.Link{{Name: "usb0", Router: gadget.RouterClient}}}); len(d.Wants) != 0 {
		t.Errorf("for a host that shares: %+v", d)
	}
	if err := os.MkdirAll(filepath.Join(root, filepath.Dir(serveUnitPath)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, serveUnitPath), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if d := a.serveUnit(f, r); len(d.Wants) != 0 {
		t.Errorf("over somebody's own: %+v", d)
	}
}

// FuzzGadgetState: whatever is in the file, reading it ends, and the server's part of it is taken or
// refused, never half understood.
func FuzzGadgetState(f *testing.F) {
	text, err := json.Marshal(GadgetState{Version: gadgetVersion, Links: usbLinks()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseGadget(text)
		if err != nil {
			return
		}
		for _, r := range serveRules(dnsdhcp.Config{}, s.Links) {
			if r.Router == gadget.RouterClient {
				t.Error("a host that shares its connection is served")
			}
		}
	})
}

// usbMachine can be a USB device.
func usbMachine() *facts.Facts {
	return &facts.Facts{Machine: facts.Machine{Serial: "00000000f3a2b1c4", Kernel: "6.12.0", Init: "busybox"},
		USB: facts.USB{ConfigFS: "/sys/kernel/config", LibComposite: true, Controllers: []facts.UDC{{Name: "20980000.usb", Driver: "dwc2", State: "not attached"}}}}
}

// The profile of auto changes while a host is plugged in: the firewall knows the links of both.
func TestFirewallKnowsBothProfiles(t *testing.T) {
	c := gadget.Config{Gadget: gadget.Gadget{Profile: gadget.Auto, RNDIS: true}}
	a := &Agent{Options: Options{Root: t.TempDir(), Log: slog.New(slog.DiscardHandler), Config: Config{Version: 1, Gadget: c}}}
	r, err := a.gadgetPlan(t.Context(), usbMachine(), c)
	if err != nil {
		t.Fatal(err)
	}
	members, services := map[string]int{}, map[string]int{}
	for _, m := range r.Intents.Members {
		for _, i := range m.Interfaces {
			members[i]++
		}
	}
	for _, s := range r.Intents.Services {
		for _, i := range s.Interfaces {
			services[i]++
		}
	}
	if len(r.Links) != 1 || members["usb0"] != 1 || members["usb1"] != 1 || services["usb1"] != 5 {
		t.Errorf("links %+v, members %v, services %v", r.Links, members, services)
	}
	a.switched = map[string]string{"provision": gadget.Classic}
	if r, err = a.gadgetPlan(t.Context(), usbMachine(), c); err != nil || len(r.Links) != 2 || len(r.Intents.Services) != 0 {
		t.Errorf("classic: %+v, %v", r, err)
	}
}

// What the watch does by itself it makes of what was applied, not of a file that is being edited.
func TestAgain(t *testing.T) {
	a := &Agent{Options: Options{Root: t.TempDir(), Log: slog.New(slog.DiscardHandler), Config: Config{Version: 1, Gadget: gadget.Config{Gadget: gadget.Gadget{Profile: gadget.Rescue}}}}}
	w, err := memo(gadget.Result{Devices: []gadget.Device{{Name: "provision", Asked: gadget.Auto, Profile: gadget.Classic}}}, gadget.Config{Gadget: gadget.Gadget{Profile: gadget.Auto, RNDIS: true}}, true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parseGadget([]byte(w.Attrs[file.AttrContent]))
	if err != nil {
		t.Fatal(err)
	}
	a.again = &s
	c, configured := a.gadgetConfig()
	if c.Profile != gadget.Auto || !c.RNDIS || !configured {
		t.Errorf("%+v %v", c, configured)
	}
	settled, err := a.settled(c)
	if err != nil || settled["provision"] != gadget.Classic {
		t.Errorf("%v, %v", settled, err)
	}
	a.again = nil
	if c, _ := a.gadgetConfig(); c.Profile != gadget.Rescue {
		t.Errorf("%+v", c)
	}
}

// What a machine lacks is no mistake in a file.
func TestUnable(t *testing.T) {
	a := &Agent{Options: Options{Root: t.TempDir(), Log: slog.New(slog.DiscardHandler)}}
	c := gadget.Config{Gadget: gadget.Gadget{Profile: gadget.Modern}}
	f := usbMachine()
	f.USB.Controllers = nil
	if _, err := a.gadgetPlan(t.Context(), f, c); !errors.Is(err, ErrMissing) {
		t.Errorf("no controller: %v", err)
	}
	f = usbMachine()
	f.USB.Controllers[0].Function = "g_ether"
	if _, err := a.gadgetPlan(t.Context(), f, c); !errors.Is(err, ErrConflict) || errors.Is(err, ErrConfig) {
		t.Errorf("g_ether has it: %v", err)
	}
	c.Profile = "none"
	if _, err := a.gadgetPlan(t.Context(), f, c); !errors.Is(err, ErrConfig) {
		t.Errorf("a wrong profile: %v", err)
	}
}

// What the server needs is written while the host makes the device's acquaintance: behind the binding, and before the link is up.
func TestWrittenBehindTheBinding(t *testing.T) {
	c := gadget.Config{Gadget: gadget.Gadget{Profile: gadget.Modern}}
	a := &Agent{Options: Options{Root: t.TempDir(), Log: slog.New(slog.DiscardHandler), Config: Config{Version: 1, Gadget: c}}}
	r, err := a.gadgetPlan(t.Context(), usbMachine(), c)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]int{}
	for i, w := range r.Desired.Wants {
		kind := w.Kind
		if w.Ref == file.Ref(GadgetPath) {
			kind = GadgetPath
		}
		last[kind] = i + 1
	}
	if udc, memo, up := last[usbgadget.KindUDC], last[GadgetPath], last[link.Kind]; udc == 0 || memo != udc+1 || up <= memo {
		t.Errorf("bound at %d, written at %d, up at %d", udc, memo, up)
	}
}

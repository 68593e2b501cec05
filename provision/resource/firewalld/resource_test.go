package firewalld

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/host"
)

// model is a firewalld with its zones of devices, at run time and stored.
type model struct {
	zones [2]map[string]string
	moved []string
	fail  string
	files map[string]string
}

func index(permanent bool) int {
	if permanent {
		return 1
	}
	return 0
}

func (m *model) Close() {}
func (m *model) Zone(_ context.Context, permanent bool, device string) (string, error) {
	return m.zones[index(permanent)][device], nil
}

func (m *model) Move(_ context.Context, permanent bool, device, from, to string) error {
	what := []string{"runtime ", "permanent "}[index(permanent)] + device + " " + from + ">" + to
	m.moved = append(m.moved, what)
	if what == m.fail {
		return errors.New("INVALID_ZONE: " + to)
	}
	if m.zones[index(permanent)][device] != from {
		return errors.New("ZONE_CONFLICT")
	}
	m.zones[index(permanent)][device] = to
	return nil
}

func (m *model) ReadFile(path string, _ int64) ([]byte, error) { return []byte(m.files[path]), nil }
func (m *model) ReadDir(path string) ([]host.Entry, error) {
	var out []host.Entry
	for p := range m.files {
		out = append(out, host.Entry{Name: strings.TrimPrefix(p, path+"/")})
	}
	if out == nil {
		return nil, fs.ErrNotExist
	}
	slices.SortFunc(out, func(a, b host.Entry) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func newModel() (*model, *Resource) {
	m := &model{zones: [2]map[string]string{{"eth0": "public"}, {}}}
	return m, &Resource{Open: func(context.Context) (Manager, error) { return m, nil }, Files: m}
}

func TestConformance(t *testing.T) {
	enginetest.Resource(t, func(*testing.T) enginetest.ResourceCase {
		_, r := newModel()
		return enginetest.ResourceCase{
			Resource: r, Name: "usb0",
			Values:   []provision.Attrs{Want("usb0", Trusted, "").Attrs, {AttrRuntime: "public", AttrPermanent: "home"}},
			Optional: []string{AttrRuntime, AttrPermanent},
		}
	})
}

// The stored zone is changed first, and a zone that others gave at run time comes back.
func TestOrder(t *testing.T) {
	m, r := newModel()
	have, err := r.Get(t.Context(), "eth0")
	if err != nil {
		t.Fatal(err)
	}
	want := Want("eth0", Trusted, "").Attrs
	if err := r.Set(t.Context(), "eth0", have, want); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(t.Context(), "eth0", want, have); err != nil {
		t.Fatal(err)
	}
	steps := []string{"permanent eth0 >trusted", "runtime eth0 public>trusted", "permanent eth0 trusted>", "runtime eth0 trusted>public"}
	if !slices.Equal(m.moved, steps) {
		t.Errorf("moved %q", m.moved)
	}
	m.fail = "permanent eth0 >none"
	if err := r.Set(t.Context(), "eth0", have, Want("eth0", "none", "").Attrs); err == nil || !strings.Contains(err.Error(), "INVALID_ZONE") {
		t.Errorf("got %v", err)
	}
}

func TestStopped(t *testing.T) {
	m := &model{files: map[string]string{
		zoneDir + "/public.xml":     `<?xml version="1.0" encoding="utf-8"?><zone><short>Public</short><service name="ssh"/><forward/></zone>`,
		zoneDir + "/trusted.xml":    `<?xml version="1.0" encoding="utf-8"?><zone target="ACCEPT"><interface name="docker0"/><interface name="usb0"/></zone>`,
		zoneDir + "/public.xml.old": `not XML`,
	}}
	r := &Resource{Open: func(context.Context) (Manager, error) { return nil, nil }, Files: m}
	have, err := r.Get(t.Context(), "usb0")
	if err != nil || have[AttrPermanent] != Trusted || have[AttrRuntime] != "" {
		t.Fatalf("got %v, %v", have, err)
	}
	if err := r.Set(t.Context(), "usb0", have, nil); !errors.Is(err, provision.ErrPending) || !strings.Contains(err.Error(), "firewall-offline-cmd --zone=trusted --remove-interface=usb0") {
		t.Errorf("got %v", err)
	}
	if err := r.Set(t.Context(), "usb1", nil, Want("usb1", Trusted, "").Attrs); !errors.Is(err, provision.ErrPending) {
		t.Errorf("got %v", err)
	}
	if err := r.Set(t.Context(), "usb1", nil, nil); err != nil {
		t.Error(err)
	}
	m.files = nil
	if have, err := r.Get(t.Context(), "usb0"); have != nil || err != nil {
		t.Errorf("without firewalld: %v, %v", have, err)
	}
}

func TestRefusals(t *testing.T) {
	m, r := newModel()
	for _, bad := range []provision.Want{Want("a b", Trusted, ""), Want("", Trusted, ""), Want("usb0", "a/b", ""), Want("usb*", Trusted, "")} {
		if err := r.Set(t.Context(), bad.Name, nil, bad.Attrs); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
	if len(m.moved) != 0 {
		t.Errorf("moved %q", m.moved)
	}
}

func TestContains(t *testing.T) {
	for text, want := range map[string]bool{
		`<zone><interface name="usb0"/></zone>`:                                      true,
		`<zone><interface name="usb1"/><interface  name = 'usb0' /></zone>`:          true,
		`<zone><!-- <interface name="usb0"/> --><interface name="usb00"/></zone>`:    false,
		`<zone><!-- x --><interface name="usb0"/></zone>`:                            true,
		`<zone><!-- <interface name="usb1"/> --><interface name="usb0"></interface>`: true,
		`<zone><!-- <interface name="usb0"`:                                          false,
		`<zone><service name="usb0"/><source address="192.0.2.1"/><interface name=`:  false,
	} {
		if got := contains(text, "usb0"); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func FuzzZone(f *testing.F) {
	f.Add(`<zone target="ACCEPT"><!-- x --><interface name="usb0"/></zone>`)
	f.Fuzz(func(t *testing.T, s string) {
		if contains(s, "usb0") && !strings.Contains(s, "usb0") {
			t.Error(s)
		}
	})
}

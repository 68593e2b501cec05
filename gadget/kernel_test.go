package gadget

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
	"github.com/provision-net/provision/provision/resource/usbgadget"
	"github.com/provision-net/provision/provision/resource/usbgadget/fakekernel"
)

// usbPart is what configfs has to do with.
func usbPart(d provision.Desired) provision.Desired {
	var out provision.Desired
	for _, w := range d.Wants {
		if _, _, ok := usbgadget.Split(w.Ref); ok {
			out.Wants = append(out.Wants, w)
		}
	}
	out.Holds = d.Holds
	return out
}

// Every profile, after every other one, on the kernel's rules: what is planned is taken, in the
// order of interfaces that was meant; the second time nothing is touched; another profile is one
// unplug; and in the end nothing is left.
func TestProfilesOnTheKernel(t *testing.T) {
	images := map[string]Image{"/images/one.img": {Kind: "file"}}
	profiles := []struct {
		config     string
		interfaces [][]string
		names      []string // of network devices, in the order of functions
	}{
		{"{profile: modern}", [][]string{{"ncm.usb0", "acm.GS0"}}, []string{"usb0"}},
		{"{profile: classic}", [][]string{{"ecm.usb0"}, {"rndis.usb1"}}, []string{"usb0", "usb1"}},
		{"{profile: windows}", [][]string{{"rndis.usb0", "acm.GS0"}}, []string{"usb0"}},
		{"{profile: windows, rndis-class: e0/01/03, self-powered: true, max-power: 0}", [][]string{{"rndis.usb0", "acm.GS0"}}, []string{"usb0"}},
		{"{profile: rescue}", [][]string{{"acm.GS0"}}, nil},
		{"{profile: custom, rndis: true, functions: [{type: rndis}, {type: ncm}, {type: acm}, {type: mass-storage, image: /images/one.img, cdrom: true}]}",
			[][]string{{"rndis.usb0", "ncm.usb1", "acm.GS0", "mass_storage.0"}}, []string{"usb0", "usb1"}},
		{"{profile: custom, functions: [{type: eem}, {type: hid, report-length: 8, protocol: 1, report-descriptor: 05010906A101C0}]}", [][]string{{"eem.usb0", "hid.0"}}, []string{"usb0"}},
	}
	for i, a := range profiles {
		for j, b := range profiles {
			if i == j {
				continue
			}
			k := fakekernel.New("20980000.usb")
			k.Endpoints = 7
			e := &provision.Engine{Resources: usbgadget.Resources(k, ""), Store: enginetest.NewMemFiles().Store(), Clock: enginetest.NewClock()}
			apply := func(what string, d provision.Desired) {
				t.Helper()
				if _, err := e.Apply(context.Background(), d, provision.ApplyOptions{}); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
			for n, x := range []int{i, j} {
				p := profiles[x]
				r := mustPlan(t, Input{Facts: zeroW(), Images: images}, config(t, p.config))
				before := k.Unplugs()
				apply(p.config, usbPart(r.Desired))
				if got := k.Interfaces("20980000.usb"); !reflect.DeepEqual(got, p.interfaces) {
					t.Errorf("%s: the host sees %v, want %v", p.config, got, p.interfaces)
				}
				if n == 1 && k.Unplugs() != before+1 {
					t.Errorf("%s after %s: %d unplugs", b.config, a.config, k.Unplugs()-before)
				}
				devs := k.Netdevs()
				var names []string
				for m, f := range r.Links {
					names = append(names, f.Name)
					if devs[f.Name] != f.MAC && devs[p.names[m]] == "" {
						t.Errorf("%s: %s is not %s: %v", p.config, f.Name, f.MAC, devs)
					}
					if !slices.Contains(macsOf(devs), f.MAC) {
						t.Errorf("%s: no device has %s: %v", p.config, f.MAC, devs)
					}
				}
				if !reflect.DeepEqual(names, p.names) {
					t.Errorf("%s: links %v, want %v", p.config, names, p.names)
				}
				changes := k.Changes()
				apply("again", usbPart(r.Desired))
				if k.Changes() != changes {
					t.Errorf("%s: the second run wrote %v", p.config, k.Log()[len(k.Log())-(k.Changes()-changes):])
				}
			}
			apply("down", provision.Desired{})
			if left := k.String(); left != "" {
				t.Fatalf("left of %s:\n%s", b.config, left)
			}
		}
	}
}

func macsOf(devs map[string]string) []string {
	var out []string
	for _, m := range devs {
		out = append(out, m)
	}
	return out
}

// What the budget refuses the kernel refuses too, without a word of explanation.
func TestBudgetIsTheKernels(t *testing.T) {
	f := zeroW()
	f.USB.Controllers[0].Driver = "other"
	for n := 1; n <= 5; n++ {
		list := ""
		for range n {
			list += "{type: acm}, "
		}
		r := mustPlan(t, Input{Facts: f}, config(t, "{profile: custom, functions: ["+list+"]}"))
		k := fakekernel.New("20980000.usb")
		k.Endpoints = 7
		e := &provision.Engine{Resources: usbgadget.Resources(k, ""), Store: enginetest.NewMemFiles().Store(), Clock: enginetest.NewClock()}
		_, err := e.Apply(context.Background(), usbPart(r.Desired), provision.ApplyOptions{})
		_, refused := Plan(Input{Facts: zeroW()}, config(t, "{profile: custom, functions: ["+list+"]}"))
		if (err == nil) != (refused == nil) || (err == nil) != (n <= 3) {
			t.Errorf("%d serial ports: the kernel says %v, the plan %v", n, err, refused)
		}
		if err != nil && k.String() != "" {
			t.Errorf("half of it is there:\n%s", fmt.Sprint(k))
		}
	}
}

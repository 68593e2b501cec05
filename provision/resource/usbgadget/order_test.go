package usbgadget

import (
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/usbgadget/fakekernel"
)

// The order of interfaces is read from a tree with names that do not tell it, from
// kernels that list the newest first and from one that would list it last.
func TestOrderOfStrangers(t *testing.T) {
	for _, oldest := range []bool{false, true} {
		k := fakekernel.New("dummy_udc.0")
		k.OldestFirst = oldest
		orderOfStrangers(t, k)
	}
}

func orderOfStrangers(t *testing.T, f Files) {
	t.Helper()
	strangers(t, f, "s", "dummy_udc.0")
	r := Resources(f, "")[KindConfig]
	get := func() provision.Attrs {
		t.Helper()
		a, err := r.Get(t.Context(), "s/c.1")
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if got := get()[AttrFunctions]; got != "ncm.usb0 acm.GS0" {
		t.Errorf("functions are %q, they were linked as ncm.usb0 acm.GS0", got)
	}
	udc := Resources(f, "")[KindUDC]
	if err := udc.Set(t.Context(), "s", provision.Attrs{AttrUDC: "dummy_udc.0"}, provision.Attrs{AttrUDC: ""}); err != nil {
		t.Fatal(err)
	}
	if got := get()[AttrFunctions]; got != "ncm.usb0 acm.GS0" {
		t.Errorf("functions are %q after the gadget was unbound", got)
	}
	for _, order := range []string{"acm.GS0 ncm.usb0", "ncm.usb0", "ncm.usb0 acm.GS0", "acm.GS0", ""} {
		if err := r.Set(t.Context(), "s/c.1", get(), provision.Attrs{AttrFunctions: order}); err != nil {
			t.Fatal(err)
		}
		if got := get()[AttrFunctions]; got != order {
			t.Errorf("functions are %q, want %q", got, order)
		}
	}
}

package netdev

import (
	"context"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/nstest"
)

// One reading sees one state of the kernel, whatever changes meanwhile, and the next one sees what is then.
func TestShare(t *testing.T) {
	nstest.Network(t)
	names := func(d *Table) (all []string) {
		for _, x := range d.Devices {
			all = append(all, x.Name)
		}
		return all
	}
	ctx := Share(t.Context())
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	first, err := Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Dump(ctx, unix.RTM_GETADDR, unix.RTM_NEWADDR, nl.NewIfAddrmsg(unix.AF_INET)); err != nil {
		t.Fatal(err)
	}
	nstest.IP(t, "link add late0 type bridge")
	again, err := Read(ctx)
	if err != nil || again != first {
		t.Errorf("read twice in one reading: %v, then %v (%v)", names(first), names(again), err)
	}
	links, err := Dump(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK, header)
	if err != nil || len(links) != len(first.Devices) {
		t.Errorf("%d links, the table has %v (%v)", len(links), names(first), err)
	}
	for _, c := range []context.Context{t.Context(), Share(ctx)} {
		if d, err := Read(c); err != nil || len(d.Devices) != len(first.Devices)+1 {
			t.Errorf("after that: %v, before: %v (%v)", names(d), names(first), err)
		}
	}
}

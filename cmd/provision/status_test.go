package main

import (
	"strings"
	"testing"

	"github.com/provision-net/provision/dnsdhcp/control"
)

func TestStatusTellsWhatIsWrong(t *testing.T) {
	s := control.Status{Ready: true, Links: []control.Link{{Name: "usb0", Rule: "usb*"}, {Name: "eth1", Rule: "eth1", Index: 2, Up: true, Addresses: []string{"10.0.0.1/24"}}}}
	if ailing(s) {
		t.Error("an interface that is not there is no problem")
	}
	s.Problems = []string{"dns: no\x1b[31m good"}
	if !ailing(s) {
		t.Error("what cannot be used is no problem")
	}
	plain := func(s string) painted { return painted(s) }
	p := &page{bold: plain, red: plain, green: plain, yellow: plain, dim: plain}
	drawStatus(p, s, false)
	for _, want := range []string{"not in order: dns: no\\x1b[31m good\n", "usb0: missing (match usb*)\n", "eth1: up, 10.0.0.1/24 (match eth1)\n"} {
		if !strings.Contains(p.buf.String(), want) {
			t.Errorf("no %q in\n%s", want, p.buf.String())
		}
	}
}

package facts

import (
	"reflect"
	"testing"
)

func TestUdevDataTellsWhenTheNICAppeared(t *testing.T) {
	got := parseUdevData("I:4512345\nE:ID_NET_MANAGED_BY=io.systemd.Network\nG:systemd\nQ:systemd\nV:1\n")
	want := map[string]string{"USEC_INITIALIZED": "4512345", "ID_NET_MANAGED_BY": "io.systemd.Network"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

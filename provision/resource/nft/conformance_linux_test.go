package nft

import (
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
)

func TestConformance(t *testing.T) {
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		r := network(t)
		c := enginetest.ResourceCase{Resource: r, Name: "inet provision"}
		for _, table := range samples() {
			if p := table.Problems(); p != nil {
				t.Fatal(p)
			}
			if err := r.Blobs.Save(table); err != nil {
				t.Fatal(err)
			}
			c.Values = append(c.Values, Own(table, "").Attrs)
		}
		return c
	})
}

// The same of a table of another family, which has other hooks.
func TestConformanceOfAnEmptyTable(t *testing.T) {
	enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
		return enginetest.ResourceCase{Resource: network(t), Name: "ip6 x", Values: []provision.Attrs{
			Own(Table{Family: "ip6", Name: "x"}, "").Attrs,
			Own(Table{Family: "ip6", Name: "x", Chains: []Chain{{Name: "y"}}}, "").Attrs,
		}}
	})
}

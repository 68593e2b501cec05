package enginetest_test

import (
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
)

// The model's own sorts of state keep the contract that it checks others for.
func TestResource(t *testing.T) {
	c := enginetest.RandomCases(1, 1)[0]
	d := provision.Desired{Wants: []provision.Want{{Ref: provision.Ref{Kind: "peer"}}, {Ref: provision.Ref{Kind: "file"}}, {Ref: provision.Ref{Kind: "sysctl"}}}}
	optional := map[string][]string{"file": {"mode"}, "peer": {"allowed"}}
	for kind, values := range map[string][]provision.Attrs{
		"peer": {
			{"key": "one", "allowed": "::/0", "endpoint": "a"},
			{"key": "two", "allowed": "10.0.0.0/8", "endpoint": "b"},
		},
		"file":   {{"content": "\xff\x00", "mode": "0600"}, {"content": "text", "mode": "0644"}},
		"sysctl": {{"value": "8"}, {"value": "9"}},
	} {
		t.Run(kind, func(t *testing.T) {
			enginetest.Resource(t, func(t *testing.T) enginetest.ResourceCase {
				m := enginetest.NewMachine(enginetest.State{{Kind: "sysctl", Name: "x"}: {"value": "0"}}, c.Rules)
				return enginetest.ResourceCase{Resource: m.Engine(nil, d).Resources[kind], Name: "x", Values: values, Fixed: kind == "sysctl", Optional: optional[kind]}
			})
		})
	}
}

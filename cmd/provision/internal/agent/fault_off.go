//go:build !faultinject

package agent

import "github.com/provision-net/provision/provision"

// instrument does nothing in the program that people run; see fault_on.go.
func instrument(*provision.Engine) {}

// Package rtnl is one rtnetlink socket for several changes in a row (Linux). The kernel's own
// words about a refused change are part of the error.
package rtnl

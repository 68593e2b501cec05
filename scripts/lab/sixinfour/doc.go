// Package sixinfour shows IPv6 through a tunnel of protocol 41 on a kernel that has such tunnels: Debian's, in the guests
// of package gadget. The tests that run in the guest are those of the kind of state and of package inside.
package sixinfour

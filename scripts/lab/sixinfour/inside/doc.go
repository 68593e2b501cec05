// Package inside has the tests of IPv6 through a tunnel of protocol 41 that run in a guest: a box with two networks behind it,
// the broker that has the other end, and the IPv6 internet behind that, in namespaces of a kernel that has such tunnels.
package inside

// Package tunnels shows WireGuard devices as people use them: package selftest in namespaces with
// userspace devices, and the same tests in a guest with those of Debian's kernel.
package tunnels

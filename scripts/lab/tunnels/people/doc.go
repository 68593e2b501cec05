// Package people has the tests of what people do with WireGuard: a server, a phone, a tablet, a phone at
// home, files of wg-quick. The phone is wg-quick itself, on a device in userspace where the kernel has none.
package people

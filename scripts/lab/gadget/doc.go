// Package gadget tests the USB side on a real kernel: a small virtual machine whose dummy_hcd is a USB device controller and a host's port
// at once. What the program builds in configfs meets the kernel's own host drivers, and real DHCP clients in a namespace that stands
// for the laptop. A guest has no systemd and no disk, so that it is up within seconds; the tests themselves (package inside) run in it as
// one static test binary, a group of them in each boot, and what they say comes out as subtests here.
//
// The package needs Linux, root and Debian packages (tag lab, tier gadget). Elsewhere it is empty.
package gadget

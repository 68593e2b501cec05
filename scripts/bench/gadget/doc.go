// Package gadget measures the time from the command that makes a USB gadget to the lease of the laptop that it is plugged into: our own, and
// the shell script with dnsmasq that people use, in turn in one guest of the gadget lab. "make bench" runs it; it needs root, QEMU and
// Debian packages (tag lab).
package gadget

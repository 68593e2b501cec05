// Package packages has the packages of scripts/package made, twice, and judges them with the programs that people install
// them with: dpkg in booted Debian machines and in a chroot, rpm in a root of its own.
package packages

// Package wifi tests joining networks on a real kernel: a small virtual machine in which mac80211_hwsim makes two radios that hear each
// other. One is hostapd's, in a namespace of its own with a DHCP server; the other is the machine's, under wpa_supplicant and dhcpcd as
// Raspberry Pi OS bullseye has it. The checks are a script (inside.sh) that says for each what came of it.
//
// The package needs Linux, root, QEMU, wpasupplicant, hostapd and iw (tag lab). Elsewhere it is empty.
package wifi

// Package verdict remembers which USB profile a host could talk to, so that the profile `auto`
// starts with the right one the next time.
//
// What can be known of a host, and when: nothing before it has spoken. USB tells a device neither
// the host's maker nor its system, the host's MAC address on the link is the one that the device
// itself gave it (host_addr), and the questions in which Windows differs (string 0xEE, the
// Microsoft vendor request) are answered inside the kernel, which tells nobody. How often the bus
// is reset, and for how long a host stays `addressed`, depends on hubs and firmware as much as on
// the system, so nothing is concluded from it. After it has spoken a host is known by its DHCP
// client: the list of options it asks for (option 55), its vendor class (60), its name (12), a
// client identifier that is more than the MAC address (61, RFC 4361), the options of DHCPv6, or
// merely that it solicited routers.
//
// So the start is a bet and is called one: the host that was seen last is the one that comes next.
// A device hangs on the same laptop nearly always, and a wrong bet costs little: started as classic
// the other host works too, and its own fingerprint, which is read then, makes the next start
// modern; started as modern a host that cannot use it is silent, and is given classic once.
//
// A verdict is evidence, never a guess from the name of a system: modern failed is written only
// where modern was tried and was silent in the same plug in which the same host then spoke on
// classic. It is also tried again: after 8 plugs, then 16, at most 64, because a host is upgraded.
//
// The table holds at most 64 hosts, the longest unseen goes first, and stores digests instead of
// names. It counts plugs instead of time: a board without a clock does not know the day.
package verdict

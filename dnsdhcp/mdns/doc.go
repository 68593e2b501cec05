// Package mdns is a multicast DNS responder (RFC 6762) with the service records of RFC 6763, for one link at a time:
// the machine's name under local with the addresses of that link, and the services that it is told to show. It asks
// nothing but whether its names are free, and listens to nobody who is not on the link.
//
// Responder is a state machine: packets, addresses and time go in, packets and the time of the next step come out.
// Serve is the loop around it.
//
// It is written upon the codec of github.com/miekg/dns and not with github.com/pion/mdns/v2, which announces services
// but does not probe for its names or give way in conflicts (RFC 6762 sections 8 and 9), has no known-answer
// suppression, no NSEC and no rate limit (7.1, 6.1, 6), and says goodbye for services only.
//
// A second responder on the same machine and link is not a conflict here, but may see one in us: run one.
package mdns

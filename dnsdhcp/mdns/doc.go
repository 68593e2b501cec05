// Package mdns is a multicast DNS responder (RFC 6762) with the service records of RFC 6763, for one link at a time:
// the machine's name under local with the addresses of that link, and the services that it is told to show.
package mdns

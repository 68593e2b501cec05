// Package dns is the resolver that clients of our links ask: local names (package zone) first and without looking at
// any upstream, then the cache of packed answers, then the upstreams (package forward).
//
// Handler decides and is pure: a query, its sender and the time in, a reply or a miss out. Server moves datagrams and
// streams between PacketConn, Listener and Handler, and has the misses resolved.
package dns

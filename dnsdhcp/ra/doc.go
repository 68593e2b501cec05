// Package ra advertises a router on links (RFC 4861, 4191, 8106, 8781, 8910, 9096): what to say is computed from the
// configuration, the link's own addresses and the real uplink; when to say it is a state machine without sockets and
// clocks; Advertiser joins the two to the world.
package ra

// MaxSaved is the most that Memory is asked to keep under one key, in bytes.
const MaxSaved = 16 << 10

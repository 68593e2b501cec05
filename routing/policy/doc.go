// Package policy plans policy routing: which of several routing tables a packet asks. It makes
// replies leave by the NIC that their requests came in by, the tables and rules of the
// configuration, and the rules of a full tunnel; and it gives out the numbers for all of it
// (tables, priorities, marks), so that none is one that somebody else uses.
//
// The order of the rules is fixed. The kernel asks the lower priority first; its own are 0 (local),
// 32766 (main) and 32767 (default):
//
//	15000  detours of the kill switch, three numbers
//	15100  rules of the configuration without a priority, in their order
//	25200  replies: from the addresses of a NIC to the table of that NIC
//	25250  byways, by a mark, two numbers: networks with a route of their own, then the byway's table
//	25300  full tunnels, two numbers each
//
// A number that a rule of somebody else has is left out.
//
// Answers of networks inside (published ports) have the source of a container when they are routed, so
// they go by a mark that Marks keeps with their connection. The first mark of the byte is Direct, the
// others are counted like the tables.
//
// The package is pure: facts, configuration and what is remembered go in, wants come out.
package policy

const (
	tableDefault = 253
	tableMain    = 254
	tableLocal   = 255

	priorityDetours = 15000
	priorityRules   = 15100
	priorityReplies = 25200
	priorityMarked  = 25250
	priorityTunnels = 25300
	priorityMain    = 32766

	// Tables are given out from here; nothing that is known claims a number there.
	firstTable, lastTable = 15800, 19999
)

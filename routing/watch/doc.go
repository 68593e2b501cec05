// Package watch keeps a machine's network as it should be while others work on it: on a
// Kubernetes node with many NICs, on a router, wherever routes vanish and nobody puts them back.
//
// It is driven by events and level-triggered. An event only says that something has changed; the
// kernel's state is then read again, as far as it can have changed, and jobs look at it. A job is
// a pure function of that state: it answers with repairs, each with its reason. The engine
// carries them out, through interfaces that its caller gives, and backs off where somebody keeps
// undoing them.
//
// A job writes no policy rule (only "keep" puts back rules that this program committed): what
// VPC-CNI (priorities 10, 20, 512, 1024 to 1536, 32765), Cilium (1, 8 to 10, 20, 100, 110, 111)
// and ec2-net-utils (10000 and up) have made is left alone.
//
// What jobs have to remember (the routes of a table before they vanished) is kept through an
// interface as well, so that a process that was killed in the middle goes on where it stood.
package watch

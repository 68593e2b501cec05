// Package nfnl speaks nfnetlink (net/netfilter/nfnetlink.c) for nf_tables: dumps, requests,
// batches that hold or fail as a whole, and events. It knows messages and attributes, not what
// is in them. Numbers in attributes are in network order, headers in the machine's own.
package nfnl

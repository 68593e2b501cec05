// Package unit reads systemd-networkd's .network files as networkd does
// (systemd.network(5), systemd.syntax(7)): their syntax, which file's [Match] fits a
// link, and which drop-ins amend it. It is a pure function of facts.
package unit

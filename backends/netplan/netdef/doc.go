// Package netdef reads netplan's YAML tree as netplan does (netplan-yaml(5)) and says
// which definition is about which link. It is a pure function of facts.
package netdef

// Package ansible runs the role of scripts/ansible with Debian's Ansible, inside a booted machine, and judges what it says by what
// the machine has become.
package ansible

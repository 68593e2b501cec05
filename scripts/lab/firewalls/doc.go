// Package firewalls shows, with the real docker, ufw and firewalld of two Debian releases, that our
// own table leaves theirs as it was, that what they drop is foretold, and that the adapters cure it.
package firewalls

// Package hosttest gives tests a namespace of their own: mounts or a network that
// nobody else sees and that vanish with the test.
package hosttest

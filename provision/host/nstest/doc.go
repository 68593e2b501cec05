// Package nstest gives tests namespaces of their own (Linux): mounts or networks that
// nobody else sees and that vanish with the test. Mounts and Network move the calling
// test into one; New makes one beside it, for worlds of several machines.
package nstest

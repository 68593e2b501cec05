// Package overlay shows virtual wires between five machines in namespaces: whichever is lost, frames find
// another way, and nobody outside puts frames on a wire. It takes about a minute.
package overlay

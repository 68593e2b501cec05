// Package bootfiles decides what the files of a boot partition should say so that a
// Raspberry Pi sets itself up at its first boot. It is given texts and gives texts;
// reading and writing them is somebody else's. Lines and words that are not its own
// stay as they are, doing it again changes nothing, and [Undo] goes back.
package bootfiles

// Package bootfile reads and edits the two files by which a Raspberry Pi boots:
// config.txt, which the firmware reads, and cmdline.txt, which it hands to the
// kernel. It says which line makes the USB controller a device and which one keeps
// it from that, and changes only the lines it must: everything else stays byte for
// byte.
//
// What the firmware does with config.txt is described in the Raspberry Pi
// documentation, "config.txt" and "Conditional filters"
// (documentation/asciidoc/computers/config_txt).
package bootfile

// Package bed is what the tests inside a guest of the gadget lab stand on: USB device controllers of dummy_hcd, the laptop that a gadget is
// plugged into (the host's drivers in this kernel, its NICs in a namespace), the Wi-Fi side with the world behind it, and the tools to read
// what the host has been told and to pull the cable. It also holds the gadget as people make it by hand, which shows that the bed works
// and is the peer of the benchmark.
package bed

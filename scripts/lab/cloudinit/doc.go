// Package cloudinit boots Debian roots with the real cloud-init on a NoCloud seed that `provision hook cloud-init` made, and
// images that were baked with provision in them.
package cloudinit

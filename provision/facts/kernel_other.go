//go:build !linux

package facts

// systemKernel is nil where there is no Linux kernel to ask: only mounted images
// and captured trees can be read.
func systemKernel() Kernel { return nil }

func kernelArch() string { return "" }

package userspace

import "os"

// Home reports whether the calling thread is in the network namespace of the init process.
func Home() bool {
	init, err := os.Readlink("/proc/1/ns/net")
	if err != nil {
		return false
	}
	own, err := os.Readlink("/proc/thread-self/ns/net")
	return err == nil && own == init
}

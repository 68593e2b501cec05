package agent

import (
	"fmt"
	"strings"
)

// Lasting tells why a unit cannot start the program at this path at the next boot: it is in a
// folder that is emptied or not mounted yet, or others can write it.
func Lasting(program string) error {
	for _, dir := range []string{"/tmp/", "/var/tmp/", "/run/", "/dev/shm/", "/home/", "/media/", "/mnt/"} {
		if strings.HasPrefix(program, dir) {
			return fmt.Errorf("%s is in a folder that a boot may not have yet", program)
		}
	}
	return trusted(program)
}

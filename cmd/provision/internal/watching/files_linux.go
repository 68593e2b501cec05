package watching

import (
	"errors"
	"os"
	"syscall"

	"github.com/provision-net/provision/provision/host"
)

// hostRoot is where a container finds the parts of its host that it was given.
const hostRoot = "/host"

// parameters writes kernel parameters below /proc/sys, or where that is read-only, as it is in a
// container, below /host/proc/sys.
type parameters struct {
	own  *host.Root
	host *host.Root // nil outside of containers
}

// Parameters opens the kernel's parameters for writing.
func Parameters() (Files, error) {
	own, err := host.OpenRoot("/")
	if err != nil {
		return nil, err
	}
	p := parameters{own: own}
	if _, err := os.Stat(hostRoot + "/proc/sys/net"); err == nil {
		if p.host, err = host.OpenRoot(hostRoot); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// WriteValue implements Files.
func (p parameters) WriteValue(path, value string) error {
	err := p.own.WriteValue(path, value)
	if p.host != nil && (errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EACCES)) {
		return p.host.WriteValue(path, value)
	}
	return err
}

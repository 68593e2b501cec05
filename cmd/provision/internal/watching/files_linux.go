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

// Parameters opens the kernel's parameters for writing, until they are closed.
func Parameters() (OpenFiles, error) {
	own, err := host.OpenRoot("/")
	if err != nil {
		return nil, err
	}
	p := parameters{own: own}
	if _, err := os.Stat(hostRoot + "/proc/sys/net"); err == nil {
		if p.host, err = host.OpenRoot(hostRoot); err != nil {
			own.Close()
			return nil, err
		}
	}
	return p, nil
}

// Close gives the descriptors back.
func (p parameters) Close() error {
	err := p.own.Close()
	if p.host != nil {
		err = errors.Join(err, p.host.Close())
	}
	return err
}

// WriteValue implements Files.
func (p parameters) WriteValue(path, value string) error {
	err := p.own.WriteValue(path, value)
	if p.host != nil && (errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.EACCES)) {
		return p.host.WriteValue(path, value)
	}
	return err
}

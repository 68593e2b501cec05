package device

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// List is every disk of this computer.
func List(context.Context) ([]Disk, error) {
	all, err := Sysfs(os.DirFS("/"))
	if err != nil {
		return nil, fmt.Errorf("cannot see the disks of this computer: %w", err)
	}
	return all, nil
}

// Real follows symbolic links, such as those in /dev/disk/by-id.
func Real(name string) (string, error) { return filepath.EvalSymlinks(name) }

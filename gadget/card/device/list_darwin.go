package device

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// List is every disk of this computer.
func List(ctx context.Context) ([]Disk, error) {
	list, err := diskutil(ctx, "list", "-plist")
	if err != nil {
		return nil, err
	}
	return Diskutil(list, func(disk string) (io.Reader, error) { return diskutil(ctx, "info", "-plist", disk) })
}

// diskutil runs it; a card that is dying can keep it waiting for ever.
func diskutil(ctx context.Context, args ...string) (io.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "/usr/sbin/diskutil", args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot see the disks of this computer: diskutil %v: %w: %s", args, err, bytes.TrimSpace(said.Bytes()))
	}
	return bytes.NewReader(out), nil
}

// Real follows nothing: /dev has no links here.
func Real(name string) (string, error) { return name, nil }

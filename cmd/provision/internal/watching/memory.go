package watching

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Memory is a file that survives the process, not the boot: below /run.
type Memory string

// MemoryPath is where the watch remembers.
const MemoryPath Memory = "/run/provision/watch.json"

const mostMemory = 16 << 20

// Load implements watch.Memory.
func (m Memory) Load() ([]byte, error) {
	f, err := os.Open(string(m))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, mostMemory))
}

// Save implements watch.Memory. The file is replaced as a whole; it is not fsynced, for it is
// worth nothing after the boot.
func (m Memory) Save(text []byte) error {
	dir, name := filepath.Split(string(m))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+name+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), string(m))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot write %s: %w", string(m), err), os.Remove(f.Name()))
	}
	return nil
}

// BootID names this boot.
func BootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(id))
}

// Managers names the network managers and agents that run here, of those that are known to
// remove routes and rules of others. Names of processes have 15 bytes in the kernel.
func Managers() []string {
	known := map[string]string{
		"systemd-network": "systemd-networkd", "NetworkManager": "NetworkManager", "dhcpcd": "dhcpcd", "dhclient": "dhclient", "udhcpc": "udhcpc",
		"connmand": "ConnMan", "wickedd": "wicked", "netifd": "netifd", "aws-k8s-agent": "VPC-CNI (aws-k8s-agent)", "cilium-agent": "Cilium",
		"calico-node": "Calico", "flanneld": "flannel", "tailscaled": "Tailscale", "bird": "BIRD", "zebra": "FRR", "keepalived": "keepalived",
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") != "" {
			continue
		}
		comm, err := os.ReadFile("/proc/" + e.Name() + "/comm")
		if name := known[string(bytes.TrimSpace(comm))]; err == nil && name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

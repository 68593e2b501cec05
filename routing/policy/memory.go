package policy

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/file"
)

// MemoryPath is where the numbers that were given out are remembered between runs.
const MemoryPath = "/var/lib/provision/policy.json"

const (
	memoryVersion = 1
	maxMemory     = 1 << 20
)

// Memory is which numbers were given out, so that a NIC that comes or goes never renumbers the
// tables of the others. It is data: read from MemoryPath and wanted there as a file again.
type Memory struct {
	Version int `json:"version"`
	// Mask is the byte of marks; 0: none was chosen yet.
	Mask uint32 `json:"mask,omitempty"`
	// Tables by whom they are for: "nic mac:08:00:27:aa:bb:cc", "tunnel wg0".
	Tables map[string]uint32 `json:"tables,omitempty"`
}

// ParseMemory reads the file's content; empty content is an empty memory.
func ParseMemory(data []byte) (Memory, error) {
	m := Memory{Version: memoryVersion}
	if len(bytes.TrimSpace(data)) == 0 {
		return m, nil
	}
	if len(data) > maxMemory {
		return m, fmt.Errorf("cannot read %s: larger than %d bytes", MemoryPath, maxMemory)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return Memory{Version: memoryVersion}, fmt.Errorf("cannot read %s: %w", MemoryPath, err)
	}
	if m.Version > memoryVersion {
		return Memory{Version: memoryVersion}, fmt.Errorf("cannot read %s: written by a newer version (%d, this one knows %d)", MemoryPath, m.Version, memoryVersion)
	}
	m.Version = memoryVersion
	return m, nil
}

// Bytes is the file's content.
func (m Memory) Bytes() []byte {
	m.Version = memoryVersion
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil { // strings and numbers only: cannot happen
		panic(err)
	}
	return append(data, '\n')
}

// Want is the file that keeps m.
func (m Memory) Want() provision.Want {
	return file.Want(MemoryPath, m.Bytes(), 0o600, "remembers which routing tables and mark bits were given out, so that a new NIC never renumbers the others")
}

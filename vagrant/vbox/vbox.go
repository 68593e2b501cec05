// Package vbox knows the host's side of a VM's network: what VBoxManage says of the host's adapters and of a VM's NICs,
// which calls of it bring about what somebody wants, and what the guest has to do then. Reading and deciding are pure
// functions; a Runner does the rest. Names are always whole arguments and never pass a shell.
//
// The forms are those of VirtualBox 5.2 to 7.1 (src/VBox/Frontends/VBoxManage: VBoxManageInfo.cpp, VBoxManageList.cpp,
// VBoxManageModifyVM.cpp, VBoxManageControlVM.cpp, VBoxManageNATNetwork.cpp). Options are spelled as before 7.0, which
// later versions take too.
package vbox

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Errors that callers tell apart.
var (
	ErrMissing = errors.New("not there")      // a program, a VM, an adapter, a network, a rule
	ErrUsage   = errors.New("wrong call")     // nothing that the host is asked would make it right
	ErrState   = errors.New("not now")        // the VM runs, or does not
	ErrTaken   = errors.New("already in use") // a NIC, a port or a name serves something else
	ErrStuck   = errors.New("could not go back")
)

// Fault is an error for people that is one of the above.
type Fault struct {
	Kind error
	Text string
}

func (f *Fault) Error() string { return f.Text }
func (f *Fault) Unwrap() error { return f.Kind }

func fault(kind error, format string, args ...any) error {
	return &Fault{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// VM is a line of `VBoxManage list vms`.
type VM struct {
	Name    string `json:"name"`
	UUID    string `json:"uuid"`
	Running bool   `json:"running"`
}

// Machine is what `VBoxManage showvminfo --machinereadable` says of a VM.
type Machine struct {
	Name    string   `json:"name"`
	UUID    string   `json:"uuid"`
	State   string   `json:"state"`            // VMState: poweroff, running, saved, aborted ...
	Chipset string   `json:"chipset"`          // piix3, ich9 ...
	Groups  []string `json:"groups,omitempty"` // Multipass puts its VMs into /Multipass
	NICs    []NIC    `json:"nics"`             // by number, the disabled ones too
}

// Attachments of a NIC, as VBoxManage writes them.
const (
	None       = "none" // the NIC is disabled: the guest has no such device
	NAT        = "nat"
	Bridged    = "bridged"
	HostOnly   = "hostonly"
	NATNetwork = "natnetwork"
)

// NIC is a VM's network adapter.
type NIC struct {
	Number     int       `json:"number"` // from 1
	Attachment string    `json:"attachment"`
	To         string    `json:"to,omitempty"`  // adapter or network
	MAC        string    `json:"mac,omitempty"` // 08:00:27:3c:ce:d0
	Guest      string    `json:"guest,omitempty"`
	Unplugged  bool      `json:"unplugged,omitempty"` // its cable is not connected
	Forwards   []Forward `json:"forwards,omitempty"`
}

// String is the attachment for people.
func (n NIC) String() string {
	if n.To == "" {
		return n.Attachment
	}
	return n.Attachment + ": " + n.To
}

// Adapter is a host's NIC (`VBoxManage list bridgedifs`) or host-only interface (`list hostonlyifs`).
type Adapter struct {
	Name     string `json:"name"`              // as VBoxManage wants it: on Windows the driver's description
	Address  string `json:"address,omitempty"` // IPv4 with the prefix length
	MAC      string `json:"mac,omitempty"`
	Status   string `json:"status,omitempty"` // up, down; or VBoxManage's word in another language
	Wireless bool   `json:"wireless,omitempty"`
}

// Network is a NAT network (`VBoxManage list natnets`).
type Network struct {
	Name    string       `json:"name"`
	Prefix  netip.Prefix `json:"network"`
	DHCP    bool         `json:"dhcp"`
	Enabled bool         `json:"enabled"`
}

// nic is the NIC with this number, nil where the VM has none.
func (m *Machine) nic(number int) *NIC {
	i := slices.IndexFunc(m.NICs, func(n NIC) bool { return n.Number == number })
	if i < 0 {
		return nil
	}
	return &m.NICs[i]
}

// Multipass reports whether the VM is one of Multipass'.
func (m Machine) Multipass() bool { return slices.Contains(m.Groups, "/Multipass") }

// slots are the PCI slots of NICs 1 to 8 on bus 0 (BusAssignmentManager.cpp, "the first network card gets the PCI ID 3,
// the next 3 gets 8..10, next 4 get 16..19").
var slots = [...]int{3, 8, 9, 10, 16, 17, 18, 19}

// GuestName is the predictable name (systemd.net-naming-scheme(7)) of a NIC in a Linux guest, "" where the chipset
// does not decide it.
func GuestName(chipset string, number int) string {
	if chipset != "piix3" || number < 1 || number > len(slots) {
		return ""
	}
	return fmt.Sprintf("enp0s%d", slots[number-1])
}

// MaxNICs is how many NICs a VM with this chipset can have (SystemProperties::getMaxNetworkAdapters).
func MaxNICs(chipset string) int {
	switch chipset {
	case "piix3":
		return 8
	case "ich9":
		return 36
	}
	return 8
}

// tooMany says why there is no NIC with this number.
func tooMany(m Machine, number int) error {
	limit := MaxNICs(m.Chipset)
	text := fmt.Sprintf("%q has no NIC %d: its chipset %s has NICs 1 to %d", m.Name, number, strings.ToUpper(m.Chipset), limit)
	if m.Chipset == "piix3" {
		text += "; ICH9 has 36 (VBoxManage modifyvm VM --chipset ich9), and the guest's devices may get other names then"
	}
	return fault(ErrUsage, "%s", text)
}

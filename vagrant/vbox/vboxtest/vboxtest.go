// Package vboxtest is a stand-in for VBoxManage: the same arguments, states, messages and statuses, over VMs that are
// a file. It follows VirtualBox 7.0's src/VBox/Frontends/VBoxManage, with what is surprising there: a NIC number that is
// too large is complained about and the call ends well all the same; controlvm does one rule and ignores the rest; and
// a bridged adapter may have any name.
//
// A test's own program becomes it: its TestMain calls Main where the environment variable Env is set.
package vboxtest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Env names the file that holds the host.
const Env = "PROVISION_TEST_VBOX"

// Host is what the stand-in knows.
type Host struct {
	Bridged, HostOnly []If
	Networks          []Network
	VMs               []*VM
	Russian           bool       // as VirtualBox 7 with that language
	CRLF              bool       // as on Windows
	Old               bool       // the forms before 7.0
	Fail, Ignore      string     // a call that begins so fails; or does nothing and says nothing
	Calls             [][]string // all that change something
	MACs              int
}

// If is an adapter.
type If struct {
	Name, IP, Mask, MAC string
	Wireless, Up        bool
}

// Network is a NAT network.
type Network struct {
	Name, Prefix string
	DHCP         bool
}

// VM is a virtual machine.
type VM struct {
	Name, UUID, State, Chipset, Groups, Description string
	NICs                                            map[int]*NIC
}

// NIC is an enabled network adapter.
type NIC struct {
	Attachment, To, MAC string
	Rules               []string // name,proto,hostip,hostport,guestip,guestport
}

// Lab is a Windows laptop of the sort that the stand-in is most often asked about: two VMs, the first with a NAT NIC and
// a rule for SSH.
func Lab() *Host {
	return &Host{
		Bridged: []If{
			{Name: "Intel(R) Ethernet Connection I219-LM", IP: "192.168.1.10", Mask: "255.255.255.0", MAC: "54:e1:ad:00:00:01", Up: true},
			{Name: "Intel(R) Dual Band Wireless-AC 8260", IP: "192.168.1.11", Mask: "255.255.255.0", MAC: "54:e1:ad:00:00:02", Up: true, Wireless: true},
			{Name: "DisplayLink Network Adapter NCM", IP: "0.0.0.0", Mask: "0.0.0.0", MAC: "54:e1:ad:00:00:03"},
		},
		HostOnly: []If{{Name: "VirtualBox Host-Only Ethernet Adapter", IP: "192.168.56.1", Mask: "255.255.255.0", MAC: "0a:00:27:00:00:0e", Up: true}},
		Networks: []Network{{"NatNetwork", "192.0.2.0/24", true}},
		VMs: []*VM{
			{Name: "witty-kelpie", UUID: "6ebc2119-de35-467b-a695-047eb2e424f5", State: "poweroff", Chipset: "piix3", Groups: "/Multipass",
				NICs: map[int]*NIC{1: {Attachment: "nat", MAC: "0800273CCED0", Rules: []string{"ssh,tcp,,53507,,22"}}}},
			{Name: "lab {two} \"box\"", UUID: "8badf00d-de35-467b-a695-047eb2e424f5", State: "running", Chipset: "ich9", Groups: "/",
				Description: "line one\nnic1=\"bridged\"\nForwarding(0)=\"evil\"",
				NICs:        map[int]*NIC{1: {Attachment: "nat", MAC: "080027AAAAAA"}}},
		},
	}
}

// Start makes the test's own program the stand-in for this host, and returns its path and a function that reads the
// host as it is then.
func Start(t *testing.T, h *Host) (program string, now func() *Host) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "host.json")
	if err := save(file, h); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Env, file)
	return program, func() *Host {
		t.Helper()
		h, err := load(file)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
}

func load(file string) (*Host, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	h := &Host{}
	return h, json.Unmarshal(text, h)
}

func save(file string, h *Host) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// failure is a status with what stands on standard error.
type failure struct {
	code  int
	lines []string
}

func (f failure) Error() string { return strings.Join(f.lines, "\n") }

// syntax is RTEXITCODE_SYNTAX.
func syntax(format string, args ...any) error {
	return failure{2, []string{"VBoxManage: error: " + fmt.Sprintf(format, args...)}}
}

func com(code, component, iface, context, format string, args ...any) error {
	return failure{1, []string{
		"VBoxManage: error: " + fmt.Sprintf(format, args...),
		"VBoxManage: error: Details: code " + code + ", component " + component + ", interface " + iface + ", callee nsISupports",
		`VBoxManage: error: Context: "` + context + `" at line 640 of file VBoxManageModifyVM.cpp`,
	}}
}

// Main is the program.
func Main(args []string, stdout, stderr io.Writer) int {
	file := os.Getenv(Env)
	h, err := load(file)
	if err != nil {
		fmt.Fprintln(stderr, "the stand-in has no host:", err)
		return 99
	}
	var out strings.Builder
	err = h.call(args, &out, stderr)
	text := out.String()
	if h.CRLF {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	io.WriteString(stdout, text)
	if err != nil {
		fmt.Fprintln(stderr, err)
		if f, ok := err.(failure); ok {
			return f.code
		}
		return 1
	}
	if err := save(file, h); err != nil {
		fmt.Fprintln(stderr, err)
		return 99
	}
	return 0
}

func (h *Host) call(args []string, out *strings.Builder, stderr io.Writer) error {
	line := strings.Join(args, " ")
	switch {
	case h.Fail != "" && strings.HasPrefix(line, h.Fail):
		return com("NS_ERROR_FAILURE (0x80004005)", "MachineWrap", "IMachine", "SaveSettings()", "Could not save the settings")
	case h.Ignore != "" && strings.HasPrefix(line, h.Ignore):
		return nil
	case len(args) == 0:
		return syntax("Command missing")
	}
	if args[0] != "list" && args[0] != "showvminfo" {
		h.Calls = append(h.Calls, args)
	}
	switch args[0] {
	case "list":
		return h.list(args[1:], out)
	case "showvminfo":
		if len(args) != 3 || args[2] != "--machinereadable" {
			return syntax("Invalid parameter")
		}
		vm, err := h.find(args[1])
		if err == nil {
			h.show(vm, out)
		}
		return err
	case "modifyvm":
		return h.modify(args[1:], stderr)
	case "controlvm":
		return h.control(args[1:])
	case "natnetwork":
		return h.natnetwork(args[1:])
	}
	return syntax("Invalid command '%s'", args[0])
}

// tr translates as VBoxManageNls_ru does: keys and words change, GUID and what begins with IPv6 does not.
func (h *Host) tr(s string) string {
	if !h.Russian {
		return s
	}
	return strings.NewReplacer("Name:", "Имя:", "Enabled", "Включен", "Disabled", "Выключен", "IPAddress:", "Адрес IP:", "NetworkMask:", "Маска сети:",
		"HardwareAddress:", "Адрес оборудования:", "Wireless:", "Беспроводной:", "Status:", "Состояние:", "Yes", "Да", "No\n", "Нет\n",
		"Up", "Подключен", "Down", "Отключен", "DHCP Server:", "Сервер DHCP:", "Network:", "Сеть:", "Gateway:", "Шлюз:").Replace(s)
}

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func (h *Host) list(args []string, out *strings.Builder) error {
	if len(args) != 1 {
		return syntax("Missing subcommand for \"list\" command")
	}
	switch args[0] {
	case "vms", "runningvms":
		for _, v := range h.VMs {
			if args[0] == "vms" || v.State == "running" || v.State == "paused" {
				fmt.Fprintf(out, "\"%s\" {%s}\n", v.Name, v.UUID)
			}
		}
	case "bridgedifs", "hostonlyifs":
		all := h.Bridged
		if args[0] == "hostonlyifs" {
			all = h.HostOnly
		}
		for i, f := range all {
			var b strings.Builder
			fmt.Fprintf(&b, "DHCP:            %s\n", word(f.Up, "Enabled", "Disabled"))
			fmt.Fprintf(&b, "IPAddress:       %s\nNetworkMask:     %s\nIPV6Address:     \nIPV6NetworkMaskPrefixLength: 0\n", f.IP, f.Mask)
			fmt.Fprintf(&b, "HardwareAddress: %s\nMediumType:      Ethernet\n", f.MAC)
			if !h.Old {
				fmt.Fprintf(&b, "Wireless:        %s\n", word(f.Wireless, "Yes", "No"))
			}
			fmt.Fprintf(&b, "Status:          %s\n", word(f.Up, "Up", "Down"))
			fmt.Fprintf(out, "%s %s\nGUID:            5cd4a2b6-1f44-4b93-8000-%012d\n", h.tr("Name:           "), f.Name, i)
			fmt.Fprintf(out, "%sVBoxNetworkName: HostInterfaceNetworking-%s\n\n", h.tr(b.String()), f.Name)
		}
	case "natnets", "natnetworks":
		if !h.Old {
			out.WriteString(h.tr("NAT Networks:\n\n"))
		}
		for _, n := range h.Networks {
			if h.Old {
				fmt.Fprintf(out, "NetworkName:    %s\nIP:             192.0.2.1\nNetwork:        %s\nIPv6 Enabled:   No\nIPv6 Prefix:    \nDHCP Enabled:   %s\nEnabled:        Yes\nloopback mappings (ipv4)\n        127.0.0.1=2\n\n", n.Name, n.Prefix, word(n.DHCP, "Yes", "No"))
				continue
			}
			out.WriteString(h.tr(fmt.Sprintf("Name:         %s\nEnabled:      Yes\nNetwork:      %s\nGateway:      192.0.2.1\nDHCP Server:  %s\nIPv6:         No\nIPv6 Prefix:  fd17:625c:f037:2::/64\nIPv6 Default: No\n\n", n.Name, n.Prefix, word(n.DHCP, "Yes", "No"))))
		}
		if !h.Old {
			fmt.Fprintf(out, "%d %s found\n", len(h.Networks), word(len(h.Networks) == 1, "network", "networks"))
		}
	default:
		return syntax("Unknown subcommand \"%s\" for \"list\" command", args[0])
	}
	return nil
}

func (h *Host) find(id string) (*VM, error) {
	for _, v := range h.VMs {
		if v.Name == id || v.UUID == id {
			return v, nil
		}
	}
	return nil, com("VBOX_E_OBJECT_NOT_FOUND (0x80bb0001)", "VirtualBoxWrap", "IVirtualBox", "FindMachine(Bstr(a->argv[0]).raw(), machine.asOutParam())", "Could not find a registered machine named '%s'", id)
}

func limit(chipset string) int {
	if chipset == "ich9" {
		return 36
	}
	return 8
}

func (h *Host) show(v *VM, out *strings.Builder) {
	name := v.Name
	if !h.Old {
		name = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name)
	}
	fmt.Fprintf(out, "name=\"%s\"\ngroups=\"%s\"\nostype=\"Ubuntu (64-bit)\"\nUUID=\"%s\"\nCfgFile=\"C:\\\\VMs\\\\x.vbox\"\nmemory=1024\nchipset=\"%s\"\nfirmware=\"BIOS\"\n", name, v.Groups, v.UUID, v.Chipset)
	fmt.Fprintf(out, "VMState=\"%s\"\nVMStateChangeTime=\"2024-02-06T11:31:08.000000000\"\nstoragecontrollername0=\"SATA\"\n", v.State)
	for i := 1; i <= limit(v.Chipset); i++ {
		n := v.NICs[i]
		if n == nil {
			fmt.Fprintf(out, "nic%d=\"none\"\n", i)
			continue
		}
		switch n.Attachment {
		case "nat":
			fmt.Fprintf(out, "natnet%d=\"nat\"\n", i)
		case "bridged":
			fmt.Fprintf(out, "bridgeadapter%d=\"%s\"\n", i, n.To)
		case "hostonly":
			fmt.Fprintf(out, "hostonlyadapter%d=\"%s\"\n", i, n.To)
		case "natnetwork":
			fmt.Fprintf(out, "nat-network%d=\"%s\"\n", i, n.To)
		}
		fmt.Fprintf(out, "macaddress%d=\"%s\"\ncableconnected%d=\"on\"\nnic%d=\"%s\"\nnictype%d=\"82540EM\"\nnicspeed%d=\"0\"\n", i, n.MAC, i, i, n.Attachment, i, i)
		if n.Attachment == "nat" {
			out.WriteString("mtu=\"0\"\nsockSnd=\"64\"\nsockRcv=\"64\"\ntcpWndSnd=\"64\"\ntcpWndRcv=\"64\"\n")
			for k, r := range n.Rules {
				fmt.Fprintf(out, "Forwarding(%d)=\"%s\"\n", k, r)
			}
		}
	}
	out.WriteString("hidpointing=\"ps2mouse\"\nvrde=\"off\"\n")
	if v.Description != "" {
		fmt.Fprintf(out, "description:\n%s\n", v.Description)
	}
	out.WriteString("GuestMemoryBalloon=0\n")
}

// index takes --nic2 apart.
func index(arg string) (option string, n int, ok bool) {
	option = strings.TrimRight(arg, "0123456789")
	n, err := strconv.Atoi(arg[len(option):])
	return option, n, err == nil
}

func (h *Host) modify(args []string, stderr io.Writer) error {
	if len(args) < 2 {
		return syntax("Not enough parameters")
	}
	v, err := h.find(args[0])
	if err != nil {
		return err
	}
	switch v.State {
	case "poweroff", "aborted", "saved":
	default:
		return com("VBOX_E_INVALID_OBJECT_STATE (0x80bb0007)", "MachineWrap", "IMachine", "LockMachine(a->session, LockType_Write)", "The machine '%s' is already locked for a session (or being unlocked)", v.Name)
	}
	rest := args[1:]
	value := func(option string) (string, error) {
		if len(rest) == 0 {
			return "", syntax("Missing argument to option '%s'", option)
		}
		s := rest[0]
		rest = rest[1:]
		return s, nil
	}
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		option, n, indexed := index(arg)
		known := map[string]bool{"--nic": true, "--bridgeadapter": true, "--bridge-adapter": true, "--hostonlyadapter": true, "--host-only-adapter": true,
			"--nat-network": true, "--natnetwork": true, "--natpf": true, "--nat-pf": true}
		if !strings.HasPrefix(arg, "-") {
			return syntax("Invalid parameter '%s'", arg)
		}
		if !known[option] || !indexed {
			return syntax("Unknown option: %s", arg)
		}
		s, err := value(arg)
		if err != nil {
			return err
		}
		if n < 1 || n > limit(v.Chipset) {
			fmt.Fprintf(stderr, "VBoxManage: error: Invalid NIC number '%d'\n", n)
			continue // no more happens
		}
		nic := v.NICs[n]
		switch option {
		case "--nic":
			if v.State == "saved" {
				return com("VBOX_E_INVALID_VM_STATE (0x80bb0002)", "NetworkAdapterWrap", "INetworkAdapter", "COMSETTER(Enabled)(TRUE)", "The machine is not mutable (state is Saved)")
			}
			switch s {
			case "none":
				delete(v.NICs, n)
			case "nat", "bridged", "hostonly", "natnetwork", "intnet", "null":
				if nic == nil {
					h.MACs++
					nic = &NIC{MAC: fmt.Sprintf("08002700%04X", h.MACs)}
					v.NICs[n] = nic
				}
				nic.Attachment, nic.To = s, ""
			default:
				return syntax("Invalid type '%s' specfied for NIC %d", s, n)
			}
		case "--natpf", "--nat-pf":
			if nic == nil {
				nic = &NIC{Attachment: "none"} // the engine is there, and so are its rules; they do nothing
			}
			name := ""
			if s == "delete" {
				if name, err = value(arg); err != nil {
					return syntax("Not enough parameters")
				}
			}
			if err := nic.redirect(s, name, arg); err != nil {
				return err
			}
		default:
			if nic != nil {
				nic.To = s
			}
		}
	}
	return nil
}

// redirect is AddRedirect and RemoveRedirect of NATEngineImpl.cpp.
func (n *NIC) redirect(rule, name, arg string) error {
	if rule == "delete" {
		for i, r := range n.Rules {
			if strings.HasPrefix(r, name+",") {
				n.Rules = append(n.Rules[:i:i], n.Rules[i+1:]...)
				return nil
			}
		}
		return failure{1, []string{"VBoxManage: error: Code E_INVALIDARG (0x80070057) - Invalid argument value (extended info not available)",
			`VBoxManage: error: Context: "RemoveRedirect(Bstr(ValueUnion.psz).raw())" at line 1787 of file VBoxManageModifyVM.cpp`}}
	}
	p := strings.Split(rule, ",")
	if len(p) < 6 {
		return syntax("Missing or invalid argument to '%s'", arg)
	}
	for i := range p {
		p[i] = strings.TrimSpace(p[i])
	}
	p[1] = strings.ToLower(p[1])
	if p[1] != "tcp" && p[1] != "udp" {
		return syntax("Invalid proto '%s' specfied for NIC", rule)
	}
	for _, i := range []int{3, 5} {
		n, _ := strconv.ParseUint(p[i], 10, 16) // what is no number is 0
		p[i] = strconv.FormatUint(n, 10)
	}
	for _, r := range n.Rules {
		o := strings.Split(r, ",")
		text := ""
		switch {
		case o[0] == p[0]:
			text = "A NAT rule of this name already exists"
		case o[1] == p[1] && o[2] == p[2] && o[3] == p[3]:
			text = "A NAT rule for this host port and this host IP already exists"
		default:
			continue
		}
		return com("NS_ERROR_INVALID_ARG (0x80070057)", "NATEngineWrap", "INATEngine", "AddRedirect(Bstr(strName).raw(), proto, Bstr(strHostIp).raw(), ...)", "%s", text)
	}
	n.Rules = append(n.Rules, strings.Join(p[:6], ","))
	return nil
}

func (h *Host) control(args []string) error {
	if len(args) < 2 {
		return syntax("Not enough parameters")
	}
	v, err := h.find(args[0])
	if err != nil {
		return err
	}
	if v.State != "running" && v.State != "paused" {
		return failure{1, []string{fmt.Sprintf("VBoxManage: error: Machine '%s' is not currently running.", args[0])}}
	}
	option, n, indexed := index(args[1])
	if option != "natpf" || !indexed || len(args) < 3 {
		return syntax("Invalid parameter '%s'", args[1])
	}
	if n < 1 || n > limit(v.Chipset) {
		return failure{1, []string{fmt.Sprintf("VBoxManage: error: Invalid NIC number '%d'", n)}}
	}
	nic := v.NICs[n]
	if nic == nil {
		nic = &NIC{}
	}
	name := ""
	if args[2] == "delete" && len(args) > 3 {
		name = args[3]
	}
	return nic.redirect(args[2], name, args[1]) // and whatever follows is not looked at
}

func (h *Host) natnetwork(args []string) error {
	if len(args) < 2 {
		return syntax("Not enough parameters")
	}
	var n Network
	for i := 1; i < len(args); i++ {
		next := func() string {
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch args[i] {
		case "--netname":
			n.Name = next()
		case "--network":
			n.Prefix = next()
		case "--dhcp":
			n.DHCP = next() == "on"
		case "--enable":
		default:
			return syntax("Unknown option: %s", args[i])
		}
	}
	if n.Name == "" {
		return syntax("You need to specify the --netname option")
	}
	at := -1
	for i, o := range h.Networks {
		if o.Name == n.Name {
			at = i
		}
	}
	switch args[0] {
	case "add":
		if n.Prefix == "" {
			return syntax("You need to specify the --network option")
		}
		if at >= 0 {
			return syntax("NATNetwork server already exists")
		}
		h.Networks = append(h.Networks, n)
	case "remove":
		if at < 0 {
			return syntax("NATNetwork server does not exist")
		}
		h.Networks = append(h.Networks[:at:at], h.Networks[at+1:]...)
	default:
		return syntax("Invalid parameter '%s'", args[0])
	}
	return nil
}

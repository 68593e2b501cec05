package vbox

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Forward is a port of the host that leads into a VM through its NAT NIC. The NAT engine does IPv4 alone.
type Forward struct {
	Name      string `json:"name"`
	Protocol  string `json:"protocol"`          // tcp or udp
	HostIP    string `json:"host_ip,omitempty"` // "" is all addresses of the host
	HostPort  uint16 `json:"host_port"`
	GuestIP   string `json:"guest_ip,omitempty"` // "" is the one that the NAT engine's DHCP gave
	GuestPort uint16 `json:"guest_port"`
}

// rule is the form of --natpf1: six fields between commas (VBoxManage.html, modifyvm, --nat-pfN).
func (f Forward) rule() string {
	return fmt.Sprintf("%s,%s,%s,%d,%s,%d", f.Name, f.Protocol, f.HostIP, f.HostPort, f.GuestIP, f.GuestPort)
}

func parseRule(s string) (Forward, error) {
	p := strings.Split(s, ",")
	if len(p) != 6 {
		return Forward{}, fault(ErrUsage, "%q has not six fields", s)
	}
	host, err := strconv.ParseUint(p[3], 10, 16)
	if err != nil {
		return Forward{}, fault(ErrUsage, "%q is no port", p[3])
	}
	guest, err := strconv.ParseUint(p[5], 10, 16)
	if err != nil {
		return Forward{}, fault(ErrUsage, "%q is no port", p[5])
	}
	return Forward{Name: p[0], Protocol: strings.ToLower(p[1]), HostIP: p[2], HostPort: uint16(host), GuestIP: p[4], GuestPort: uint16(guest)}, nil
}

// ParseForward reads [NAME=][HOSTIP:]HOSTPORT:GUESTPORT[/tcp|/udp]. VBoxManage itself would take "80x" for port 80 and
// "x" for port 0 (RTStrToUInt16), so everything is checked here.
func ParseForward(s string) (Forward, error) {
	bad := func(why string) (Forward, error) {
		return Forward{}, fault(ErrUsage, "%q is no port forward: %s; write [NAME=][HOSTIP:]HOSTPORT:GUESTPORT[/tcp|/udp]", s, why)
	}
	f := Forward{Protocol: "tcp"}
	rest := s
	if name, after, ok := strings.Cut(s, "="); ok {
		if err := checkRuleName(name); err != nil {
			return Forward{}, err
		}
		f.Name, rest = name, after
	}
	if ports, protocol, ok := strings.Cut(rest, "/"); ok {
		if protocol != "tcp" && protocol != "udp" {
			return bad(fmt.Sprintf("%q is neither tcp nor udp", protocol))
		}
		f.Protocol, rest = protocol, ports
	}
	parts := strings.Split(rest, ":")
	switch len(parts) {
	case 2:
	case 3:
		ip, err := netip.ParseAddr(parts[0])
		if err != nil || !ip.Is4() {
			return bad(fmt.Sprintf("%q is no IPv4 address of this host", parts[0]))
		}
		if !ip.IsUnspecified() { // VirtualBox writes it as nothing
			f.HostIP = ip.String()
		}
		parts = parts[1:]
	default:
		return bad("it has not two ports")
	}
	for i, to := range []*uint16{&f.HostPort, &f.GuestPort} {
		n, err := strconv.ParseUint(parts[i], 10, 16)
		if err != nil || n == 0 || strings.HasPrefix(parts[i], "+") {
			return bad(fmt.Sprintf("%q is no port from 1 to 65535", parts[i]))
		}
		*to = uint16(n)
	}
	if f.Name == "" {
		f.Name = f.Protocol + "-"
		if f.HostIP != "" {
			f.Name += f.HostIP + "-"
		}
		f.Name += strconv.Itoa(int(f.HostPort))
	}
	return f, nil
}

// checkRuleName refuses what VBoxManage would read as something else: it cuts at commas, strips blanks, and takes
// "delete" for the command.
func checkRuleName(name string) error {
	switch {
	case name == "", strings.TrimSpace(name) != name, strings.ContainsAny(name, ",\"\x00\r\n"), name == "delete":
		return fault(ErrUsage, "%q cannot be a rule's name: it has to be some text without commas, quotation marks and blanks around it, and not \"delete\"", name)
	case len(name) > 64:
		return fault(ErrUsage, "a rule's name has at most 64 bytes, %q has %d", name, len(name))
	}
	return nil
}

func (f Forward) String() string {
	return fmt.Sprintf("%s %s -> %s", f.Protocol, endpoint(f.HostIP, f.HostPort, "*"), endpoint(f.GuestIP, f.GuestPort, "guest"))
}

// Host and Target are the two ends for people.
func (f Forward) Host() string   { return endpoint(f.HostIP, f.HostPort, "*") }
func (f Forward) Target() string { return endpoint(f.GuestIP, f.GuestPort, "") }

func endpoint(ip string, port uint16, none string) string {
	if ip == "" {
		ip = none
	}
	return ip + ":" + strconv.Itoa(int(port))
}

// clash reports whether two rules want the same port of the host.
func (f Forward) clash(o Forward) bool {
	return f.Protocol == o.Protocol && f.HostPort == o.HostPort && (f.HostIP == o.HostIP || f.HostIP == "" || o.HostIP == "")
}

// PlanForward decides how rules of a NIC are removed and added: on a stopped VM by one modifyvm, on a running one by
// controlvm, which does no more than one rule a call and silently drops the rest.
func PlanForward(m Machine, number int, add []Forward, remove []string) (Plan, error) {
	n := m.nic(number)
	switch {
	case number < 1 || number > MaxNICs(m.Chipset) || n == nil:
		return Plan{}, tooMany(m, number)
	case n.Attachment != NAT:
		return Plan{}, fault(ErrState, "ports are forwarded by NAT, and NIC %d of %q is attached to %s: name another one with --nic", number, m.Name, n)
	}
	p := Plan{VM: m.Name, number: number}
	var changes, undo [][]string
	left := map[int][]Forward{}
	for _, o := range m.NICs {
		left[o.Number] = slices.Clone(o.Forwards)
	}
	for _, name := range remove {
		i := slices.IndexFunc(left[number], func(f Forward) bool { return f.Name == name })
		if i < 0 {
			return Plan{}, fault(ErrMissing, "NIC %d of %q has no rule %q; %s", number, m.Name, name, namesOf(left[number]))
		}
		changes = append(changes, []string{"delete", name})
		undo = append(undo, []string{left[number][i].rule()})
		left[number] = slices.Delete(left[number], i, i+1)
		p.gone = append(p.gone, name)
	}
	for _, f := range add {
		if slices.Contains(left[number], f) {
			p.Already = append(p.Already, fmt.Sprintf("rule %s is there: %s", f.Name, f))
			continue
		}
		for _, other := range m.NICs {
			for _, o := range left[other.Number] {
				if o.Name == f.Name && other.Number == number {
					return Plan{}, fault(ErrTaken, "a rule %q is there and says %s: remove it with --remove, or give the new one a name (NAME=...)", o.Name, o)
				}
				if f.clash(o) {
					return Plan{}, fault(ErrTaken, "%s of the host is forwarded by rule %q of NIC %d: %s", endpoint(f.HostIP, f.HostPort, f.Protocol+" port "), o.Name, other.Number, o)
				}
			}
		}
		changes = append(changes, []string{f.rule()})
		undo = append(undo, []string{"delete", f.Name})
		left[number] = append(left[number], f)
		p.rules = append(p.rules, f)
		if f.HostIP == "" {
			p.note("%s is open on every address of this host; 127.0.0.1:%d:%d would keep it here", f.Name, f.HostPort, f.GuestPort)
		}
	}
	if len(changes) == 0 {
		return p, nil
	}
	switch m.State {
	case "running", "paused":
		option := "natpf" + strconv.Itoa(number)
		for i, c := range changes {
			p.Steps = append(p.Steps, Step{
				Do:   append([]string{"controlvm", m.Name, option}, c...),
				Undo: append([]string{"controlvm", m.Name, option}, undo[i]...),
			})
		}
	case "poweroff", "aborted", "saved", "aborted-saved":
		option := "--natpf" + strconv.Itoa(number)
		s := Step{Do: []string{"modifyvm", m.Name}, Undo: []string{"modifyvm", m.Name}}
		for i := range changes {
			s.Do = append(append(s.Do, option), changes[i]...)
			s.Undo = append(append(s.Undo, option), undo[len(undo)-1-i]...)
		}
		p.Steps = []Step{s}
	default:
		return Plan{}, fault(ErrState, "%q is %s: wait until it runs or is stopped", m.Name, m.State)
	}
	return p, nil
}

func namesOf(rules []Forward) string {
	if len(rules) == 0 {
		return "it has none"
	}
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.Name
	}
	return "there are: " + strings.Join(names, ", ")
}

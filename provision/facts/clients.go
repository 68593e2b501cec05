package facts

import (
	"strconv"
	"strings"
)

// clients lists the DHCP clients that run in this network namespace, in whatever
// container: they configure our links.
func (r *gathering) clients(ps processes) {
	for _, p := range ps {
		if !p.Ours {
			continue
		}
		c, ok := clientOf(p.Comm, p.Args)
		if !ok {
			continue
		}
		c.PID = p.PID
		// The metric that ifup asked for reaches dhclient and udhcpc by environment.
		for kv := range strings.SplitSeq(r.quiet("/proc/"+strconv.Itoa(p.PID)+"/environ", maxState), "\x00") {
			if v, ok := strings.CutPrefix(kv, "IF_METRIC="); ok {
				c.Env = map[string]string{"IF_METRIC": clean(v)}
			}
		}
		r.f.Clients = append(r.f.Clients, c)
		if c.Name == "dhcpcd" && c.Link == "" {
			r.f.Dhcpcd.Master = true
		}
	}
}

// clientOf reads a DHCP client's command line.
func clientOf(comm string, args []string) (DHCPClient, bool) {
	c := DHCPClient{Name: comm, Args: args}
	switch comm {
	case "dhclient":
		c.Family = 4
		c.Link = lastOperand(args, dhclientValues)
		if hasFlag(args, "-6") {
			c.Family = 6
		}
	case "udhcpc", "udhcpc6":
		c.Family = 4
		if comm == "udhcpc6" {
			c.Family = 6
		}
		c.Link = flagValue(args, "-i", "--interface")
		if c.Link == "" {
			c.Link = "eth0" // busybox's default
		}
	case "dhcp6c", "odhcp6c":
		c.Family = 6
		c.Link = lastOperand(args, map[string]bool{"-c": true, "-p": true, "-k": true, "-s": true, "-P": true, "-O": true, "-r": true, "-t": true, "-I": true, "-N": true, "-V": true})
	case comDhcpcd:
		return dhcpcdOf(c)
	default:
		return c, false
	}
	return c, true
}

// dhclientValues are dhclient's flags that take a value (dhclient(8)).
var dhclientValues = map[string]bool{
	"-p": true, "-D": true, "-e": true, "-lf": true, "-pf": true, "-cf": true, "-sf": true, "-s": true, "-g": true, "-df": true,
	"-F": true, "-A": true, "-R": true, "--dad-wait-time": true, "--prefix-len-hint": true, "--decline-wait-time": true, "--address-prefix-len": true,
}

// dhcpcdOf reads dhcpcd's command line. Since version 9 the daemon shows a title,
// "dhcpcd: eth0 [ip4]" or "dhcpcd: [manager] [ip4] [ip6]", and its helper
// processes others that are no clients of their own.
func dhcpcdOf(c DHCPClient) (DHCPClient, bool) {
	line := strings.Join(c.Args, " ")
	if title, ok := strings.CutPrefix(line, "dhcpcd: "); ok {
		f := strings.Fields(title)
		if len(f) == 0 || strings.Contains(title, " proxy]") {
			return c, false
		}
		if !strings.HasPrefix(f[0], "[") {
			c.Link = f[0]
		} else if f[0] != "[master]" && f[0] != "[manager]" {
			return c, false // a helper: [BPF ARP], [DHCP6 proxy]
		}
		v4, v6 := strings.Contains(title, "[ip4]"), strings.Contains(title, "[ip6]")
		switch {
		case v4 && !v6:
			c.Family = 4
		case v6 && !v4:
			c.Family = 6
		}
		return c, true
	}
	c.Link = lastOperand(c.Args, map[string]bool{
		"-c": true, "-D": true, "-e": true, "-f": true, "-h": true, "-i": true, "-j": true, "-l": true, "-m": true, "-o": true, "-O": true,
		"-Q": true, "-r": true, "-s": true, "-S": true, "-t": true, "-u": true, "-v": true, "-w": false, "-W": true, "-C": true, "-X": true, "-y": true, "-Y": true, "-z": true, "-Z": true,
	})
	switch {
	case hasFlag(c.Args, "-4") || hasFlag(c.Args, "--ipv4only"):
		c.Family = 4
	case hasFlag(c.Args, "-6") || hasFlag(c.Args, "--ipv6only"):
		c.Family = 6
	}
	return c, true
}

// lastOperand is the last argument that is neither a flag nor a flag's value.
func lastOperand(args []string, takesValue map[string]bool) string {
	last := ""
	for i := 1; i < len(args); i++ {
		a := args[i]
		if strings.HasPrefix(a, "-") {
			if takesValue[a] {
				i++
			}
			continue
		}
		last = a
	}
	return last
}

func hasFlag(args []string, flag string) bool {
	for _, a := range args {
		if a == flag {
			return true
		}
	}
	return false
}

// flagValue returns the value of a short or long flag: "-i eth0", "-ieth0",
// "--interface eth0", "--interface=eth0".
func flagValue(args []string, short, long string) string {
	for i := 1; i < len(args); i++ {
		a := args[i]
		if (a == short || a == long) && i+1 < len(args) {
			return args[i+1]
		}
		if v, ok := strings.CutPrefix(a, long+"="); ok {
			return v
		}
		if v, ok := strings.CutPrefix(a, short); ok && v != "" && !strings.HasPrefix(a, "--") {
			return v
		}
	}
	return ""
}

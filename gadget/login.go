package gadget

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/provision-net/provision/gadget/layout"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/unit"
)

const unitDir = "/etc/systemd/system/"

// ttys gives the serial ports of a gadget their numbers. The kernel takes the first free one when a
// function is made (gserial_alloc_line in u_serial.c), and other gadgets have theirs already.
func (p *planner) ttys(g *gadget) {
	used := map[int]bool{}
	own := map[string]int{}
	for _, o := range p.Facts.USB.Gadgets {
		for _, f := range o.Functions {
			n, err := strconv.Atoi(f.Port)
			switch {
			case f.Type != layout.ACM || err != nil:
			case o.Name == g.dev.Name:
				own[f.Name] = n
			case !p.owns(o.Name):
				used[n] = true
			}
		}
	}
	for i := range g.dev.Functions {
		f := &g.dev.Functions[i]
		if f.Type != layout.ACM {
			continue
		}
		n, there := own[f.Name]
		if !there {
			for used[p.ports] {
				p.ports++
			}
			n = p.ports
		}
		p.ports = max(p.ports, n+1)
		f.TTY = "ttyGS" + strconv.Itoa(n)
	}
}

// owns reports whether a tree in configfs is one of the planned gadgets.
func (p *planner) owns(name string) bool {
	for _, g := range p.gadgets {
		if g.name() == name {
			return true
		}
	}
	return false
}

// logins wants a login prompt on serial ports that have one. The unit is the program's own and not
// systemd's serial-getty@.service: a drop-in for that template can log in somebody without a
// password, and it would not be stopped by taking a link away. It hangs on the port's device, so it
// starts whenever the port is there and waits for nothing at boot.
func (p *planner) logins() {
	for _, g := range p.gadgets {
		for _, f := range g.dev.Functions {
			if !f.Login || f.TTY == "" {
				continue
			}
			if init := p.Facts.Machine.Init; init != "systemd" {
				p.note("warning", f.TTY, "no login prompt is started on it: this machine's init is %s; with an inittab the line is %s::respawn:/sbin/getty -L %s 115200 vt100", init, f.TTY, f.TTY)
				continue
			}
			name := "provision-login-" + strings.TrimPrefix(strings.ToLower(f.TTY), "tty") + ".service"
			wants := unitDir + "dev-" + f.TTY + ".device.wants"
			p.want(file.Want(unitDir+name, []byte(loginUnit(f.TTY)), 0o644, "a login prompt on the gadget's serial port"),
				file.Dir(wants, "folder of what starts with "+f.TTY),
				file.Symlink(wants+"/"+name, "../"+name, "starts "+name+" with "+f.TTY))
			if !p.Facts.Machine.Offline {
				p.r.Desired.Triggers = append(p.r.Desired.Triggers, provision.Trigger{Name: name, On: []provision.Ref{file.Ref(unitDir + name)},
					Do: unit.Action(name), Why: "systemd reads the unit and starts the prompt"})
			}
		}
	}
}

// loginUnit is modelled on what a terminal line needs (systemd.exec(5), agetty(8)): no speed means
// anything on USB, a hang-up ends the session, and the next prompt comes by itself.
func loginUnit(tty string) string {
	return fmt.Sprintf(`%s
[Unit]
Description=Login on the USB serial port %[2]s
Documentation=man:agetty(8)
BindsTo=dev-%[2]s.device
After=dev-%[2]s.device systemd-user-sessions.service
Conflicts=serial-getty@%[2]s.service rescue.service
Before=rescue.service
IgnoreOnIsolate=yes

[Service]
Type=idle
Environment=TERM=vt220
ExecStart=-/sbin/agetty --keep-baud 115200,57600,38400,9600 - ${TERM}
StandardInput=tty
StandardOutput=tty
TTYPath=/dev/%[2]s
TTYReset=yes
TTYVHangup=yes
UtmpIdentifier=%[2]s
KillMode=process
SendSIGHUP=yes
IgnoreSIGPIPE=no
Restart=always
RestartSec=1
`, facts.Marker, tty)
}

// unit installs and enables the unit that brings gadgets up at boot. udev pulls usb-gadget.target
// when a controller appears (99-systemd.rules).
func (p *planner) unit() {
	const name, target = "provision-gadget.service", "usb-gadget.target"
	switch init := p.Facts.Machine.Init; {
	case p.Units == Units{}:
		return
	case init != "systemd":
		p.note("warning", "after a reboot", "the gadget is gone: this machine's init is %s, for which no unit is installed; start `provision gadget watch` early in the boot", init)
		return
	case p.Units.Gadget == "":
		p.note("warning", "after a reboot", "the gadget is gone: no unit brings it up, because %s", p.Units.Why)
		return
	}
	p.want(file.Want(unitDir+name, []byte(p.Units.Gadget), 0o644, "brings the gadget up at boot and follows it"),
		file.Dir(unitDir+target+".wants", "folder of enabled units"),
		file.Symlink(unitDir+target+".wants/"+name, "../"+name, "enables "+name))
	if !p.Facts.Machine.Offline {
		p.r.Desired.Triggers = append(p.r.Desired.Triggers, provision.Trigger{Name: name, On: []provision.Ref{file.Ref(unitDir + name)},
			Do: unit.Action(name), Why: "systemd reads the unit and starts it"})
	}
}

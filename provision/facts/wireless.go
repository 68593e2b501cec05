package facts

import (
	"path"
	"sort"
	"strings"
)

// Wireless is what Wi-Fi hangs on beside the network managers. It is the zero value on a machine
// that has none of it.
type Wireless struct {
	// Supplicant: wpa_supplicant is installed; Supplicants are those that run, by ascending process.
	Supplicant  bool         `json:"supplicant,omitempty"`
	Supplicants []Supplicant `json:"supplicants,omitempty"`
	IWD         bool         `json:"iwd,omitempty"` // iwd runs
	// Switches are the radio switches of Wi-Fi: /sys/class/rfkill.
	Switches []RFKill `json:"rfkill,omitempty"`
}

// Supplicant is a running wpa_supplicant. Config is empty for one that is told its networks over
// D-Bus, as NetworkManager does.
type Supplicant struct {
	PID    int    `json:"pid"`
	Link   string `json:"link,omitempty"`
	Config string `json:"config,omitempty"`
}

// RFKill is one radio switch (Documentation/driver-api/rfkill.rst).
type RFKill struct {
	Name string `json:"name"`           // of the radio: phy0
	Soft bool   `json:"soft,omitempty"` // switched off by software
	Hard bool   `json:"hard,omitempty"` // switched off by a switch of the machine
}

// wireless reads what is of Wi-Fi alone.
func (r *gathering) wireless(procs processes) {
	w := &r.f.Wireless
	w.Supplicant = r.firstOf("/usr/sbin/wpa_supplicant", "/sbin/wpa_supplicant") != ""
	for _, p := range procs {
		if !p.Ours || p.Inner {
			continue
		}
		switch p.Comm {
		case "iwd":
			w.IWD = true
		case "wpa_supplicant":
			w.Supplicants = append(w.Supplicants, supplicants(p)...)
		}
	}
	if !r.offline {
		for _, n := range r.list("/sys/class/rfkill") {
			dir := "/sys/class/rfkill/" + n
			if r.value(dir+"/type") == "wlan" {
				w.Switches = append(w.Switches, RFKill{Name: r.value(dir + "/name"), Soft: r.value(dir+"/soft") == "1", Hard: r.value(dir+"/hard") == "1"})
			}
		}
		sort.Slice(w.Switches, func(i, j int) bool { return w.Switches[i].Name < w.Switches[j].Name })
	}
	for _, n := range r.list("/etc/wpa_supplicant") {
		if strings.HasSuffix(n, ".conf") && !strings.HasPrefix(n, ".") {
			r.collect("/etc/wpa_supplicant/" + n)
		}
	}
	// A running one may have its file elsewhere.
	for _, s := range w.Supplicants {
		if path.IsAbs(s.Config) && path.Dir(s.Config) != "/etc/wpa_supplicant" {
			r.collect(path.Clean(s.Config))
		}
	}
}

// supplicants are the interfaces of one process, which "-N" separates (wpa_supplicant(8)).
func supplicants(p process) []Supplicant {
	var out []Supplicant
	s := Supplicant{PID: p.PID}
	add := func() {
		if s.Link != "" || s.Config != "" {
			out = append(out, s)
		}
		s = Supplicant{PID: p.PID}
	}
	for i := 1; i < len(p.Args); i++ {
		a := p.Args[i]
		value := func() string {
			if len(a) > 2 {
				return a[2:]
			}
			if i+1 < len(p.Args) {
				i++
				return p.Args[i]
			}
			return ""
		}
		switch {
		case a == "-N":
			add()
		case strings.HasPrefix(a, "-i"):
			s.Link = clean(value())
		case strings.HasPrefix(a, "-c"):
			s.Config = clean(value())
		}
	}
	add()
	if out == nil {
		out = []Supplicant{{PID: p.PID}}
	}
	return out
}

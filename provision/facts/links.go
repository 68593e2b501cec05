package facts

import (
	"path"
	"strconv"
	"strings"
)

// linkPorts fills Ports from Master.
func linkPorts(links []Link) {
	at := make(map[int]int, len(links))
	for i := range links {
		at[links[i].Index] = i
		links[i].Ports = nil
	}
	for _, l := range links {
		if i, ok := at[l.Master]; ok && l.Master != 0 {
			links[i].Ports = append(links[i].Ports, l.Index)
		}
	}
}

// udevKept are the properties that decide ownership or selection
// (systemd-networkd(8), NetworkManager.conf(5), systemd.net-naming-scheme(7)).
var udevKept = []string{"ID_NET_MANAGED_BY", "NM_UNMANAGED", "ID_PATH", "ID_NET_DRIVER", "ID_NET_LINK_FILE", "ID_NET_NAME", "ID_RENAMING", "USEC_INITIALIZED"}

// linkDetails adds what sysfs and udev know about the links.
func (r *gathering) linkDetails() {
	if r.offline {
		return
	}
	udev := r.t.Exists("/run/udev/data")
	for i := range r.f.Links {
		l := &r.f.Links[i]
		if strings.ContainsAny(l.Name, "/\x00") {
			continue
		}
		r.sysfs(l)
		if !udev {
			continue
		}
		// /run/udev is the host's where a container sees it at all, and its
		// indices are then another machine's: a container has none of its own.
		if text, ok := r.text("/run/udev/data/n"+strconv.Itoa(l.Index), maxState); ok {
			props := parseUdevData(text)
			for _, k := range udevKept {
				if v := props[k]; v != "" {
					if l.Udev == nil {
						l.Udev = map[string]string{}
					}
					l.Udev[k] = v
				}
			}
			if l.Driver == "" {
				l.Driver = props["ID_NET_DRIVER"]
			}
		}
	}
}

// sysfs reads /sys/class/net/NAME: one readlink for all, and for hardware one more
// and two small files.
func (r *gathering) sysfs(l *Link) {
	dir := "/sys/class/net/" + l.Name
	target, err := r.t.Readlink(dir)
	if err != nil {
		// /sys of another network namespace, or none: netlink said the rest.
		return
	}
	dev := path.Join("/class/net", target)
	if strings.HasPrefix(dev, "/devices/virtual/") {
		if uevent, ok := r.text(dir+"/uevent", maxState); ok {
			environment(uevent, func(k, v string) {
				if k == "DEVTYPE" {
					l.DevType = clean(v)
				}
			})
		}
		return
	}
	// The link is .../DEVICE/net/NAME.
	l.DevPath = path.Dir(path.Dir(dev))
	if uevent, ok := r.text(dir+"/uevent", maxState); ok {
		environment(uevent, func(k, v string) {
			if k == "DEVTYPE" {
				l.DevType = clean(v)
			}
		})
	}
	if uevent, ok := r.text(dir+"/device/uevent", maxState); ok {
		environment(uevent, func(k, v string) {
			switch k {
			case "DRIVER":
				l.Driver = clean(v)
			case "PCI_ID":
				l.Vendor = strings.ToLower(clean(v))
			case "PRODUCT":
				l.Vendor = usbID(v)
			}
		})
	}
	if sub, err := r.t.Readlink(dir + "/device/subsystem"); err == nil {
		l.Bus = clean(path.Base(sub))
	}
	if l.Vendor == "" && l.Bus == "virtio" {
		// The identity is the PCI device's that the virtio device sits on.
		if uevent, ok := r.text("/sys"+path.Dir(l.DevPath)+"/uevent", maxState); ok {
			environment(uevent, func(k, v string) {
				if k == "PCI_ID" {
					l.Vendor = strings.ToLower(clean(v))
				}
			})
		}
	}
}

// usbID makes "0bda:8153" of PRODUCT=bda/8153/3000 (hexadecimal without zeros).
func usbID(v string) string {
	p := strings.Split(v, "/")
	if len(p) < 2 {
		return ""
	}
	a, err1 := strconv.ParseUint(p[0], 16, 16)
	b, err2 := strconv.ParseUint(p[1], 16, 16)
	if err1 != nil || err2 != nil {
		return ""
	}
	hex := func(n uint64) string { s := "000" + strconv.FormatUint(n, 16); return s[len(s)-4:] }
	return hex(a) + ":" + hex(b)
}

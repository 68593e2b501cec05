package facts

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// Bounds of what is read below usb_gadget/ and of included boot files.
const (
	maxGadgets  = 32
	maxParts    = 64 // functions or configurations of one gadget
	maxIncludes = 16
)

// usb reads the device side of USB. Where there is neither a controller nor
// libcomposite, and the machine is no board that could have one, it looks at one
// directory and no file.
func (r *gathering) usb(un units, pk packages) {
	u := &r.f.USB
	udcs := r.list("/sys/class/udc")
	u.Boot = r.bootFiles()
	if !r.offline {
		u.ConfigFS = configfsMount(r.mounts())
		if u.ConfigFS != "" {
			u.LibComposite = r.t.Exists(u.ConfigFS + "/usb_gadget")
		}
	}
	if len(udcs) == 0 && !u.LibComposite && u.Boot == "" {
		u.ConfigFS = "" // many have it, for other purposes
		return
	}
	for _, n := range udcs {
		u.Controllers = append(u.Controllers, r.udc(n))
	}
	if u.LibComposite {
		r.gadgets(u)
	}
	r.usbModules(u)
	r.leds(u)
	r.traces(u, un, pk)
}

// mounts is this process' table of mounts, read once.
func (r *gathering) mounts() string {
	r.mountsOnce.Do(func() { r.mountinfo = r.quiet("/proc/self/mountinfo", 4<<20) })
	return r.mountinfo
}

// configfsMount finds configfs in mountinfo (proc(5)).
func configfsMount(mountinfo string) string {
	n := 0
	for line := range strings.Lines(mountinfo) {
		if n++; n > maxLines {
			break
		}
		_, after, ok := strings.Cut(line, " - configfs ")
		if !ok || after == "" {
			continue
		}
		if f := strings.Fields(line); len(f) > 5 && f[3] == "/" {
			return path.Clean(unescapeMount(f[4]))
		}
	}
	return ""
}

// unescapeMount undoes the octal escapes of mountinfo: blank, tab, newline, backslash.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// udc reads /sys/class/udc/NAME (drivers/usb/gadget/udc/core.c).
func (r *gathering) udc(name string) UDC {
	dir := "/sys/class/udc/" + name
	c := UDC{
		Name: clean(name), State: r.value(dir + "/state"), Speed: r.value(dir + "/current_speed"), MaxSpeed: r.value(dir + "/maximum_speed"),
		OTG: r.value(dir+"/is_otg") == "1", Function: r.value(dir + "/function"),
	}
	if c.State == "addresssed" {
		c.State = "addressed" // older kernels spell it so
	}
	if target, err := r.t.Readlink(dir + "/device/driver"); err == nil {
		c.Driver = clean(path.Base(target))
	}
	return c
}

// gadgets reads everybody's trees (Documentation/usb/gadget_configfs.rst).
func (r *gathering) gadgets(u *USB) {
	top := u.ConfigFS + "/usb_gadget"
	for i, n := range r.list(top) {
		if i >= maxGadgets {
			r.problem(top, errors.New("too many gadgets: left out"))
			break
		}
		u.Gadgets = append(u.Gadgets, r.gadget(path.Join(top, n)))
	}
}

func (r *gathering) gadget(dir string) Gadget {
	v := func(name string) string { return r.value(dir + "/" + name) }
	g := Gadget{
		Name: clean(path.Base(dir)), UDC: v("UDC"), Vendor: v("idVendor"), Product: v("idProduct"), Device: v("bcdDevice"), USB: v("bcdUSB"),
		Class: triple(v("bDeviceClass"), v("bDeviceSubClass"), v("bDeviceProtocol")),
	}
	for i, lang := range r.list(dir + "/strings") {
		if lang == "0x409" || i == 0 { // English, else the first one
			g.Manufacturer, g.ProductName, g.Serial = v("strings/"+lang+"/manufacturer"), v("strings/"+lang+"/product"), v("strings/"+lang+"/serialnumber")
		}
	}
	names := r.list(dir + "/functions")
	for _, n := range names[:min(len(names), maxParts)] {
		g.Functions = append(g.Functions, r.gadgetFunction(path.Join(dir, "functions", n)))
	}
	names = r.list(dir + "/configs")
	for _, n := range names[:min(len(names), maxParts)] {
		g.Configs = append(g.Configs, r.gadgetConfig(path.Join(dir, "configs", n)))
	}
	g.OSDesc.Use = v("os_desc/use") == "1"
	if g.OSDesc.Use {
		for _, n := range r.list(dir + "/os_desc") {
			if target, err := r.t.Readlink(dir + "/os_desc/" + n); err == nil {
				g.OSDesc.Config = clean(path.Base(target))
			}
		}
	}
	return g
}

func (r *gathering) gadgetFunction(dir string) GadgetFunction {
	name := path.Base(dir)
	kind, _, _ := strings.Cut(name, ".")
	f := GadgetFunction{Name: clean(name), Type: clean(kind)}
	v := func(name string) string { return r.value(dir + "/" + name) }
	switch kind {
	case "ecm", "ncm", "eem", "rndis", "geth":
		f.Interface, f.Dev, f.Host = v("ifname"), strings.ToLower(v("dev_addr")), strings.ToLower(v("host_addr"))
		if strings.HasPrefix(f.Interface, "(") {
			f.Interface = "" // "(unnamed net_device)" before the first bind
		}
	case "acm", "gser", "obex":
		f.Port = v("port_num")
	case "mass_storage":
		f.File, f.ReadOnly = v("lun.0/file"), v("lun.0/ro") == "1"
	}
	switch kind {
	case "rndis":
		f.Class, f.OSDesc = triple(v("class"), v("subclass"), v("protocol")), v("os_desc/interface.rndis/compatible_id")
	case "ncm":
		f.OSDesc = v("os_desc/interface.ncm/compatible_id")
	}
	return f
}

func (r *gathering) gadgetConfig(dir string) GadgetConfig {
	c := GadgetConfig{Name: clean(path.Base(dir)), MaxPower: r.value(dir + "/MaxPower"), Attributes: r.value(dir + "/bmAttributes")}
	for i, lang := range r.list(dir + "/strings") {
		if lang == "0x409" || i == 0 {
			c.Configuration = r.value(dir + "/strings/" + lang + "/configuration")
		}
	}
	for _, n := range r.list(dir) {
		switch n {
		case "MaxPower", "bmAttributes", "strings":
			continue
		}
		if target, err := r.t.Readlink(dir + "/" + n); err == nil {
			c.Functions = append(c.Functions, clean(path.Base(target)))
		} else if errors.Is(err, fs.ErrPermission) {
			r.problem(dir+"/"+n, err)
		}
	}
	return c
}

// triple writes three bytes, as the kernel prints them with or without 0x, in the
// form "ef/02/01".
func triple(a, b, c string) string {
	if a == "" || b == "" || c == "" {
		return ""
	}
	var out []string
	for _, s := range []string{a, b, c} {
		if s = strings.TrimPrefix(s, "0x"); len(s) == 1 {
			s = "0" + s
		}
		out = append(out, s)
	}
	return strings.Join(out, "/")
}

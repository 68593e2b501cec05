package usbgadget

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/provision-net/provision/provision"
)

// descLink returns the path of the link to the described configuration, "" for none.
func (p place) descLink() (string, error) {
	d := p.gadget.sub("os_desc")
	links, err := d.entries(fs.ModeSymlink)
	if err != nil || len(links) == 0 {
		return "", err
	}
	return d.path + "/" + links[0], nil
}

// getOSDesc reads code and signature as empty while they are not in use: then they
// mean nothing, and the kernel cannot erase a signature.
func (p place) getOSDesc() (provision.Attrs, error) {
	d := p.gadget.sub("os_desc")
	a := untouched(KindOSDesc)
	use, err := d.read("use")
	if err != nil {
		return nil, err
	}
	if text(use) == "1" {
		a["use"] = "1"
		code, err1 := d.read("b_vendor_code")
		sign, err2 := d.read("qw_sign")
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		if a["b_vendor_code"], err = vendorCode(text(code)); err != nil {
			return nil, err
		}
		a["qw_sign"] = signature(sign)
	}
	link, err := p.descLink()
	if err != nil || link == "" {
		return a, err
	}
	target, err := p.Files.Readlink(link)
	if err != nil {
		return a, ignoreGone(err)
	}
	a[AttrConfig] = path.Base(target)
	return a, nil
}

// vendorCode: the kernel keeps it in a char and prints it as an int, so that 0xcd is
// -51 or 0xffffffcd where chars have a sign (configfs.c os_desc_b_vendor_code_show).
func vendorCode(v string) (string, error) {
	n, err := strconv.ParseInt(v, 0, 64)
	if err != nil {
		return "", fmt.Errorf("b_vendor_code %q: not a number", v)
	}
	return Hex8(uint8(n)), nil
}

// signature decodes what older kernels give as 14 bytes of UTF-16, little endian and
// padded with zeros, and newer ones as text.
func signature(v string) string {
	if strings.IndexByte(v, 0) < 0 {
		return text(v)
	}
	var units []uint16
	for i := 0; i+1 < len(v); i += 2 {
		u := uint16(v[i]) | uint16(v[i+1])<<8
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// setOSDesc unlinks first and links last: the described configuration is looked at
// when the gadget is bound, and only one can be linked.
func (p place) setOSDesc(now, want provision.Attrs) error {
	if want == nil {
		if !differs(now, untouched(KindOSDesc)) {
			return fmt.Errorf("OS descriptors of gadget %s go away with it: %w", p.name, provision.ErrPending)
		}
		want = untouched(KindOSDesc)
	}
	if now == nil {
		return fmt.Errorf("there is no such gadget: %w", provision.ErrBusy)
	}
	goal := provision.Attrs{}
	for k, v := range now {
		goal[k] = v
	}
	for k, v := range want {
		if _, ok := now[k]; !ok {
			return p.unknown(k)
		}
		goal[k] = v
	}
	if goal["use"] == "0" {
		if want["b_vendor_code"] != "" || want["qw_sign"] != "" {
			return errors.New("b_vendor_code and qw_sign need use to be 1")
		}
		goal["b_vendor_code"], goal["qw_sign"] = "", ""
	}
	if goal[AttrConfig] != now[AttrConfig] && now[AttrConfig] != "" {
		link, err := p.descLink()
		if err == nil && link != "" {
			err = ignoreGone(p.Files.Unlink(link))
		}
		if err != nil {
			return err
		}
	}
	d := p.gadget.sub("os_desc")
	for _, k := range []string{"b_vendor_code", "qw_sign", "use"} {
		if goal[k] == now[k] || goal[k] == "" {
			continue
		}
		if k == "use" && goal[k] != "0" && goal[k] != "1" {
			return fmt.Errorf("use %q: want 0 or 1", goal[k])
		}
		if err := d.write(k, goal[k]); err != nil {
			return fmt.Errorf("%s %q: %w", k, goal[k], err)
		}
	}
	if c := goal[AttrConfig]; c != "" && c != now[AttrConfig] {
		return p.linkDesc(d, c)
	}
	return nil
}

func (p place) linkDesc(d dir, config string) error {
	if !plain(config) || strings.HasPrefix(config, ".") {
		return fmt.Errorf("%q is no name of a configuration", config)
	}
	c := p.gadget.sub("configs").sub(config)
	if there, err := c.exists(); err != nil || !there {
		return errors.Join(fmt.Errorf("there is no configuration %s to describe: %w", config, provision.ErrBusy), err)
	}
	return p.Files.Symlink(c.path, d.path+"/"+config)
}

package usbgadget

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

func (p place) config() dir { return p.gadget.sub("configs").sub(p.part) }

func (p place) getConfig() (provision.Attrs, error) {
	d := p.config()
	if there, err := d.exists(); !there {
		return nil, err
	}
	a := provision.Attrs{}
	for _, n := range []string{"MaxPower", "bmAttributes", english + "/configuration"} {
		v, err := d.read(n)
		if err != nil {
			return nil, err
		}
		a[path.Base(n)] = text(v)
	}
	links, err := p.links()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = l.function
	}
	a[AttrFunctions] = strings.Join(names, " ")
	return a, nil
}

// link is one function of a configuration.
type link struct{ name, function string }

// links returns the links of a configuration in the order of their interfaces, which
// is that of their making (configfs.c config_usb_cfg_link). Ours have names that tell
// it. For others the listing does: the kernel puts the newest first, or, should that
// ever change, last; the directories that it made itself in a known order say which
// (fs/configfs/dir.c configfs_new_dirent, configfs.c gadgets_make).
func (p place) links() ([]link, error) {
	d := p.config()
	names, err := d.entries(fs.ModeSymlink)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	if !slices.ContainsFunc(names, func(n string) bool { return !numbered(n) }) {
		sortNumbered(names)
	} else if len(names) > 1 {
		if names, err = p.asMade(names); err != nil {
			return nil, err
		}
	}
	var out []link
	for _, n := range names {
		target, err := p.Files.Readlink(d.path + "/" + n)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, link{n, path.Base(target)})
	}
	return out, nil
}

func (p place) asMade(links []string) ([]string, error) {
	names, err := p.Files.Names(p.config().path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range names {
		if slices.Contains(links, n) {
			out = append(out, n)
		}
	}
	own, err := p.Files.Names(p.gadget.path)
	if err != nil {
		return nil, err
	}
	if slices.Index(own, "os_desc") < slices.Index(own, "functions") {
		slices.Reverse(out)
	}
	return out, nil
}

// linkName numbers a link by its place, so that a listing shows the order too.
func linkName(i int, function string) string { return fmt.Sprintf("%02d-%s", (i+1)*10, function) }

func numbered(name string) bool {
	n, _, ok := strings.Cut(name, "-")
	_, err := strconv.ParseUint(n, 10, 16)
	return ok && err == nil
}

func sortNumbered(names []string) {
	number := func(s string) int {
		n, _, _ := strings.Cut(s, "-")
		v, _ := strconv.Atoi(n)
		return v
	}
	sort.Slice(names, func(i, j int) bool { return number(names[i]) < number(names[j]) })
}

func (p place) setConfig(now, want provision.Attrs) (err error) {
	d := p.config()
	if want == nil {
		return p.removeConfig()
	}
	for k := range want {
		if k != "MaxPower" && k != "bmAttributes" && k != "configuration" && k != AttrFunctions {
			return p.unknown(k)
		}
	}
	if now == nil {
		if err := p.makeConfig(d); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, p.removeConfig())
			}
		}()
	}
	for _, k := range []string{"MaxPower", "bmAttributes", "configuration"} {
		v, ok := want[k]
		if !ok || now != nil && now[k] == v {
			continue
		}
		if k == "configuration" {
			if err = d.setString(k, v); err == nil {
				err = d.tidyStrings(k)
			}
		} else {
			err = d.write(k, v)
		}
		if err != nil {
			return fmt.Errorf("%s %q: %w", k, v, err)
		}
	}
	if v, ok := want[AttrFunctions]; ok && now[AttrFunctions] != v {
		return p.relink(strings.Fields(v))
	}
	return nil
}

func (p place) makeConfig(d dir) error {
	err := p.Files.Mkdir(d.path)
	if err == nil {
		return nil
	}
	label, number, ok := strings.Cut(p.part, ".")
	if n, nerr := strconv.ParseUint(number, 0, 8); !ok || label == "" || nerr != nil || n == 0 {
		return fmt.Errorf("%q is no name of a configuration, want a label, a dot and a number from 1 to 255: %w", p.part, err)
	}
	return err
}

// relink makes the functions of a configuration those of want, in that order. What is
// right at the front stays; the kernel appends.
func (p place) relink(want []string) error {
	d := p.config()
	have, err := p.links()
	if err != nil {
		return err
	}
	keep := 0
	for keep < len(have) && keep < len(want) && have[keep].function == want[keep] {
		keep++
	}
	// A name that does not tell its place would be read in another order next time.
	for i, l := range have[:keep] {
		if keep < len(want) && l.name != linkName(i, l.function) {
			keep = 0
			break
		}
	}
	for i := len(have) - 1; i >= keep; i-- {
		if err := ignoreGone(p.Files.Unlink(d.path + "/" + have[i].name)); err != nil {
			return err
		}
	}
	for i := keep; i < len(want); i++ {
		f := p.gadget.sub("functions").sub(want[i])
		if !plain(want[i]) {
			return fmt.Errorf("%q is no name of a function", want[i])
		}
		if there, err := f.exists(); err != nil || !there {
			return errors.Join(fmt.Errorf("there is no function %s to link: %w", want[i], provision.ErrBusy), err)
		}
		if err := p.Files.Symlink(f.path, d.path+"/"+linkName(i, want[i])); err != nil {
			return fmt.Errorf("link %s: %w", want[i], err)
		}
	}
	return nil
}

// removeConfig goes on after errors: what is left is less in the way.
func (p place) removeConfig() error {
	d := p.config()
	desc, err := p.descLink()
	if err == nil && desc != "" {
		if target, _ := p.Files.Readlink(desc); path.Base(target) == p.part {
			return fmt.Errorf("the OS descriptors are linked to it and have to be unlinked first: %w", provision.ErrBusy)
		}
	}
	errs := []error{p.relink(nil), d.sub("strings").rmdirs(nil), d.rmdir()}
	return errors.Join(errs...)
}

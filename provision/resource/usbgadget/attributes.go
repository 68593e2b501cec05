package usbgadget

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
	"syscall"

	"github.com/provision-net/provision/provision"
)

// live reports whether all that differs may change under the eyes of a host: the
// medium of a drive (storage_common.c fsg_store_file), but not the drive itself.
func live(now, want provision.Attrs) bool {
	if want == nil {
		return false
	}
	for k, v := range want {
		if _, there := now[k]; now[k] != v && k != AttrIfname && !(there && strings.HasPrefix(k, "lun.")) {
			return false
		}
	}
	for k := range want {
		if d, made := madeDir(k); made && hasDir(now, d) && emptied(want, d) {
			return false
		}
	}
	return true
}

// emptied reports whether nothing of what people make below d is wanted any more: all
// that is wanted of it is unset, and not only a medium taken out.
func emptied(want provision.Attrs, d string) bool {
	gone := false
	for k, v := range want {
		if path.Dir(k) != d {
			continue
		}
		if v != "" {
			return false
		}
		gone = gone || path.Base(k) != "file" && path.Base(k) != "inquiry_string"
	}
	return gone
}

func hasDir(a provision.Attrs, d string) bool {
	for k := range a {
		if path.Dir(k) == d {
			return true
		}
	}
	return false
}

// fill brings the files of a function that is not linked, or only its media, to want.
func (p place) fill(want provision.Attrs) error {
	d := p.function()
	now, err := p.shape(want)
	if err != nil {
		return err
	}
	goal := provision.Attrs{}
	for k, v := range want {
		if now[k] == v {
			continue
		}
		if _, there := now[k]; !there {
			if k == AttrIfname || v == "" {
				continue // older kernels cannot be told; the device is renamed later
			}
			return p.unknown(k)
		}
		goal[k] = v
	}
	if err := p.eject(now, goal); err != nil {
		return err
	}
	for _, k := range inOrder(goal) {
		v, err := p.encode(k, goal[k])
		if err != nil {
			return err
		}
		if v == "" {
			continue // nothing that the kernel could be told
		}
		if err := d.write(k, v); err != nil {
			if k == AttrIfname && errors.Is(err, fs.ErrPermission) {
				continue
			}
			return fmt.Errorf("%s %q: %w", k, goal[k], hint(k, err))
		}
	}
	return nil
}

// shape makes and removes the directories that people make below a function, and
// returns what is there then.
func (p place) shape(want provision.Attrs) (provision.Attrs, error) {
	now, err := p.get()
	if err != nil {
		return nil, err
	}
	changed := false
	for _, k := range sortedKeys(want) {
		d, made := madeDir(k)
		there, unwanted := hasDir(now, d), emptied(want, d)
		if !made || there != unwanted || !there && want[k] == "" {
			continue
		}
		if there {
			err = p.function().sub(d).rmdir()
		} else if err = p.Files.Mkdir(p.function().path + "/" + d); gone(err) {
			return nil, p.unknown(k)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d, err)
		}
		changed = true
		if now, err = p.get(); err != nil {
			return nil, err
		}
	}
	if changed || now != nil {
		return now, nil
	}
	return nil, fmt.Errorf("it has just gone: %w", provision.ErrStale)
}

// eject takes the medium out of every drive that changes: ro and cdrom are refused
// while there is one, and a host may have locked the drive (storage_common.c
// _fsg_store_ro, fsg_store_file). The medium comes back with the last write.
func (p place) eject(now, goal provision.Attrs) error {
	for _, k := range sortedKeys(now) {
		lun, ok := strings.CutSuffix(k, "/file")
		if !ok || now[k] == "" {
			continue
		}
		_, file := goal[k]
		_, ro := goal[lun+"/ro"]
		_, cdrom := goal[lun+"/cdrom"]
		if !file && !ro && !cdrom {
			continue
		}
		d := p.function().sub(lun)
		err := d.write("forced_eject", "1")
		if gone(err) { // an older kernel
			err = d.write("file", "\n")
		}
		if err != nil {
			return fmt.Errorf("eject %s: %w", lun, hint(k, err))
		}
		if !file {
			goal[k] = now[k]
		}
	}
	return nil
}

// inOrder: the type of a property before its data, a drive's nature before its medium.
func inOrder(a provision.Attrs) []string {
	rank := func(k string) int {
		switch path.Base(k) {
		case "type":
			return 0
		case "ro": // cdrom sets it too
			return 2
		case "file":
			return 3
		}
		return 1
	}
	keys := sortedKeys(a)
	sort.SliceStable(keys, func(i, j int) bool { return rank(keys[i]) < rank(keys[j]) })
	return keys
}

// hint says what a number means for this attribute.
func hint(attr string, err error) error {
	base := path.Base(attr)
	switch {
	case base == "file" && errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no such image: %v", err)
	case base == "file" && errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("the host has locked the drive; eject it there: %w", err)
	case (base == "dev_addr" || base == "host_addr") && errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("want an Ethernet address that is neither zero nor a group's: %w", err)
	case base == AttrIfname && errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("want a name of at most 15 bytes with one %%d in it: %w", err)
	}
	return err
}

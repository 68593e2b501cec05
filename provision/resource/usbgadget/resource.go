package usbgadget

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"syscall"

	"github.com/provision-net/provision/provision"
)

// Resource is one of the five kinds.
type Resource struct {
	Kind  string
	Files Files
	// Root is where configfs is mounted; "" is Mount.
	Root string
	// Log is the kernel's log, which alone says why a bind has failed; nil when nobody may read it.
	Log func() []string
}

var (
	_ provision.Resource    = (*Resource)(nil)
	_ provision.Classifier  = (*Resource)(nil)
	_ provision.NamedAuthor = (*Resource)(nil)
	_ provision.Loser       = (*Resource)(nil)
)

// Resources returns all five kinds by their name.
func Resources(files Files, root string) map[string]provision.Resource {
	out := map[string]provision.Resource{}
	for _, kind := range []string{KindGadget, KindFunction, KindConfig, KindOSDesc, KindUDC} {
		out[kind] = &Resource{Kind: kind, Files: files, Root: root}
	}
	return out
}

// Class implements provision.Classifier: a function's ifname is a pattern until the
// bind and a name afterwards.
func (r *Resource) Class(attr string) provision.Class {
	if r.Kind == KindFunction && attr == AttrIfname {
		return provision.Initial
	}
	return provision.Exact
}

// WroteNamed implements provision.NamedAuthor.
func (r *Resource) WroteNamed(name string, _ provision.Attrs) bool {
	g, _, _ := Split(provision.Ref{Kind: r.Kind, Name: name})
	return Owned(g)
}

// Lost implements provision.Loser: a gadget of ours that is unbound has lost its controller.
func (r *Resource) Lost(name string, have provision.Attrs) bool {
	return r.Kind == KindUDC && have[AttrUDC] == "" && r.WroteNamed(name, have)
}

// place is a parsed name.
type place struct {
	*Resource
	gadget dir
	part   string // function or configuration
	name   string
}

func (r *Resource) place(name string) (place, error) {
	gadget, part, ok := Split(provision.Ref{Kind: r.Kind, Name: name})
	parts := r.Kind == KindFunction || r.Kind == KindConfig
	if !ok || !plain(gadget) || parts != (part != "") || parts && !plain(part) {
		return place{}, fmt.Errorf("%s %q: want the name of a gadget%s", r.Kind, name,
			map[bool]string{true: `, a slash and a function ("ncm.usb0") or configuration ("c.1")`}[parts])
	}
	root := r.Root
	if root == "" {
		root = Mount
	}
	return place{r, dir{r.Files, root + "/usb_gadget/" + gadget}, part, name}, nil
}

// plain: one component of a path, and a word in a list of functions.
func plain(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/ \t\n\x00")
}

// Get implements provision.Resource.
func (r *Resource) Get(_ context.Context, name string) (provision.Attrs, error) {
	p, err := r.place(name)
	if err != nil {
		return nil, err
	}
	return p.get()
}

func (p place) get() (provision.Attrs, error) {
	if there, err := p.gadget.exists(); !there {
		return nil, err
	}
	switch p.Kind {
	case KindGadget:
		return p.getGadget()
	case KindFunction:
		return p.getFunction()
	case KindConfig:
		return p.getConfig()
	case KindOSDesc:
		return p.getOSDesc()
	}
	udc, held, err := p.bound()
	if !held {
		udc = ""
	}
	return provision.Attrs{AttrUDC: udc}, err
}

// bound returns the controller that the kernel has written down for the gadget, and
// whether the gadget has it. The name stays when the controller has gone, and also when one
// of that name comes again and the gadget could not be bound to it (configfs.c clears it by
// a write only, udc/core.c).
func (p place) bound() (udc string, held bool, err error) {
	v, err := p.gadget.read("UDC")
	if udc = text(v); err != nil || udc == "" {
		return udc, false, err
	}
	c := dir{p.Files, Controllers}.sub(udc)
	if there, err := c.exists(); !there {
		return udc, false, err
	}
	v, err = c.read("function")
	h := text(v)
	return udc, h == "" && !c.has("function") || h == p.gadget.name(), err
}

// Set implements provision.Resource.
func (r *Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p, err := r.place(name)
	if err != nil {
		return err
	}
	now, err := p.get()
	if err != nil {
		return err
	}
	if err := p.stale(now, have, want); err != nil {
		return err
	}
	if now == nil && want == nil || now != nil && want != nil && !differs(now, want) {
		return nil
	}
	if r.Kind == KindUDC {
		return p.explain(p.setUDC(now, want))
	}
	if err := p.unbound(now, want); err != nil {
		return err
	}
	switch r.Kind {
	case KindGadget:
		err = p.setGadget(now, want)
	case KindFunction:
		err = p.setFunction(now, want)
	case KindConfig:
		err = p.setConfig(now, want)
	case KindOSDesc:
		err = p.setOSDesc(now, want)
	}
	if err != nil {
		return p.explain(err)
	}
	if err = p.check(want); err != nil && now == nil {
		return errors.Join(err, p.remove())
	}
	return err
}

// remove takes away what this Set has made and could not finish.
func (p place) remove() error {
	switch p.Kind {
	case KindGadget:
		return p.removeGadget()
	case KindFunction:
		return p.removeFunction()
	case KindConfig:
		return p.removeConfig()
	}
	return nil
}

// stale compares what the caller believes with what is there. OS descriptors and the
// binding appear with their gadget, as nothing and unbound, after the caller has looked.
func (p place) stale(now, have, want provision.Attrs) error {
	fresh := have == nil && now != nil && (p.Kind == KindOSDesc || p.Kind == KindUDC) && !differs(now, untouched(p.Kind))
	if fresh {
		return nil
	}
	if (now == nil) != (have == nil) {
		return fmt.Errorf("%s %s: %w", p.Kind, p.name, provision.ErrStale)
	}
	for k := range want {
		if now != nil && now[k] != have[k] && p.Class(k) != provision.Initial {
			return fmt.Errorf("%s of %s %s: %w", k, p.Kind, p.name, provision.ErrStale)
		}
	}
	return nil
}

func untouched(kind string) provision.Attrs {
	if kind == KindUDC {
		return provision.Attrs{AttrUDC: ""}
	}
	return provision.Attrs{"use": "0", "b_vendor_code": "", "qw_sign": "", AttrConfig: ""}
}

func differs(now, want provision.Attrs) bool {
	for k, v := range want {
		if now[k] != v {
			return true
		}
	}
	return false
}

// unbound refuses to touch what a host is looking at. What the kernel would do is an
// unplug by the way, or a change that the host learns of never.
func (p place) unbound(now, want provision.Attrs) error {
	udc, held, err := p.bound()
	if err != nil || udc == "" || p.Kind == KindFunction {
		return err // a function that is not linked is nobody's, and one that is says so itself
	}
	if !held {
		return p.unbind() // only the name is left of it, and no host sees it go
	}
	return fmt.Errorf("cannot change %s %s: the gadget is bound to %s and has to be unbound first: %w", p.Kind, p.name, udc, provision.ErrBusy)
}

// check reads back what was written: the kernel cuts and rounds without a word.
func (p place) check(want provision.Attrs) error {
	now, err := p.get()
	if err != nil || want == nil {
		return err
	}
	if k, ok := p.firstDifference(now, want); ok {
		return fmt.Errorf("cannot set %s of %s %s to %q: the kernel made %q of it", k, p.Kind, p.name, want[k], now[k])
	}
	return nil
}

func (p place) firstDifference(now, want provision.Attrs) (string, bool) {
	for _, k := range sortedKeys(want) {
		if now[k] != want[k] && p.Class(k) != provision.Initial {
			return k, true
		}
	}
	return "", false
}

func sortedKeys(a provision.Attrs) []string {
	keys := make([]string, 0, len(a))
	for k := range a {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// unknown is the error for an attribute that this kind does not have.
func (p place) unknown(attr string) error {
	return fmt.Errorf("cannot set %s of %s %s: unknown attribute", attr, p.Kind, p.name)
}

// explain adds the next step to what only the kernel's number says.
func (p place) explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("cannot set %s %s: configfs is mounted read-only; run mount -o remount,rw %s: %w", p.Kind, p.name, strings.TrimSuffix(p.gadget.path, "/usb_gadget/"+p.gadget.name()), err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("cannot set %s %s: run as root: %w", p.Kind, p.name, err)
	}
	return fmt.Errorf("cannot set %s %s: %w", p.Kind, p.name, err)
}

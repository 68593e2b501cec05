package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
	keys "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/conf"
)

// WireguardImport says what to import, and as which interface.
type WireguardImport struct {
	WireguardOptions
	Path string    // empty: Text
	Text io.Reader // instead of a file
}

// WireguardImported is what became of a file of wg-quick.
type WireguardImported struct {
	WireguardOutcome
	Peers []string `json:"peers"`
	// Lines are those that are not simply another key. None of them was run.
	Lines []conf.Line `json:"lines"`
}

// WireguardImport takes over a file of wg-quick. No command in it is ever run.
func (a *Agent) WireguardImport(ctx context.Context, o WireguardImport) (WireguardImported, error) {
	out := WireguardImported{Peers: []string{}, Lines: []conf.Line{}}
	name := o.Interface
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(o.Path), ".conf")
	}
	if why := wireguard.BadInterface(name); why != "" {
		return out, UsageError{fmt.Errorf("%s (--interface says which name it gets)", why)}
	}
	text, err := o.read()
	if err != nil {
		return out, err
	}
	f, problems := conf.Parse(text)
	var errs []error
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("line %d: %s", p.Line, p.Text))
	}
	if err := errors.Join(errs...); err != nil {
		return out, UsageError{fmt.Errorf("cannot import, nothing was changed:\n%w", err)}
	}
	imported := conf.Import(name, f)
	out.Interface, out.File = name, wireguardFile(name, "")
	out.Lines = append(out.Lines, imported.Lines...)
	var notes func() []provision.Note
	err = a.changing(ctx, o.WireguardOptions, &out.WireguardOutcome, func(t *tunnels) error {
		t.device, notes = name, func() []provision.Note { return t.notes }
		switch _, there := t.all[name]; {
		case there:
			return UsageError{fmt.Errorf("there is an interface %s already: import it under another name with --interface, or `provision wireguard remove --interface %s --all` first", name, name)}
		case imported.Interface.PrivateKey == "" && imported.Interface.PrivateKeyFile == "":
			return UsageError{errors.New("the file has no PrivateKey")}
		}
		if !a.offline() {
			if owner, there, err := deviceOwner(ctx, name); err != nil {
				return err
			} else if there && owner != keys.Owner {
				return fmt.Errorf("%w: %s is up already, and somebody else made it: `wg-quick down %s` (and `systemctl disable wg-quick@%s`) first, then import it", ErrConflict, name, name, name)
			}
		}
		if k, err := keys.ParseKey(imported.Interface.PrivateKey); err == nil {
			out.PublicKey = k.Public().String()
		}
		i := imported.Interface
		out.ListenPort, out.Addresses, out.Zone = i.ListenPort, i.Addresses, i.FirewallZone()
		t.setInterface(name, &i)
		for _, peer := range slices.Sorted(maps.Keys(imported.Peers)) {
			p := imported.Peers[peer]
			t.setPeer(name, peer, &p)
			out.Peers = append(out.Peers, peer)
		}
		return nil
	})
	if err == nil {
		out.nameless(name, notes())
	}
	return out, err
}

// nameless warns of endpoints that are names without an address: who imports a file has most often made a
// mistake in it, or copied it from where another name server answers.
func (o *WireguardImported) nameless(device string, notes []provision.Note) {
	for _, n := range notes {
		if strings.HasPrefix(n.Subject, "routing.wireguard."+device+".peers.") && strings.HasSuffix(n.Subject, ".endpoint") {
			o.note("warning", n.Subject, "%s; is it written right, and does this machine reach a name server now?", n.Text)
		}
	}
}

func (o WireguardImport) read() ([]byte, error) {
	if o.Path == "" {
		text, err := io.ReadAll(io.LimitReader(o.Text, conf.MaxBytes+1))
		if err != nil {
			err = fmt.Errorf("cannot read what is to be imported: %w", err)
		}
		return text, err
	}
	f, err := openRegular(o.Path)
	if err != nil {
		return nil, UsageError{fmt.Errorf("cannot import: %w", err)}
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, UsageError{fmt.Errorf("cannot import %s: not a regular file", o.Path)}
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o044 != 0:
		return nil, UsageError{fmt.Errorf("cannot import %s: others may read it (mode %04o), and who has read its key can be this machine: chmod 600 %s if nobody has, else make new keys", o.Path, info.Mode().Perm(), o.Path)}
	}
	return io.ReadAll(io.LimitReader(f, conf.MaxBytes+1))
}

// WireguardExported is a file of wg-quick.
type WireguardExported struct {
	Interface string `json:"interface"`
	Config    string `json:"config"` // with its keys
	// Lost is what does not fit into such a file.
	Lost []string `json:"lost,omitempty"`
}

// WireguardExport is an interface as wg-quick has it, or with sync as `wg syncconf` takes it.
func (a *Agent) WireguardExport(device string, sync bool) (WireguardExported, error) {
	var out WireguardExported
	c, err := a.routingConfig()
	if err != nil {
		return out, err
	}
	if out.Interface, err = chooseOf(c, device); err != nil {
		return out, err
	}
	i := c.WireGuard[out.Interface]
	k, err := a.keysOf(out.Interface, i, slices.Sorted(maps.Keys(i.Peers))...)
	if err != nil {
		return out, err
	}
	f, lost := conf.Export(i, k)
	out.Lost = lost
	if out.Config = string(f.Quick()); sync {
		out.Config = string(f.Sync())
	}
	return out, nil
}

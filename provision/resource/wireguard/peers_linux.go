package wireguard

import (
	"context"
	"errors"
	"net/netip"

	"github.com/provision-net/provision/provision"
)

// Peers is the peers of the devices of the calling thread's network namespace.
type Peers struct {
	// Sockets is where userspace devices listen, empty for the directory of that name.
	Sockets string
}

var (
	_ provision.Resource   = Peers{}
	_ provision.Lister     = Peers{}
	_ provision.Batcher    = Peers{}
	_ provision.Classifier = Peers{}
)

// Class implements provision.Classifier.
func (Peers) Class(attr string) provision.Class {
	switch attr {
	case AttrPresharedKey:
		return provision.Secret
	case AttrEndpoint:
		return provision.Initial
	}
	return provision.Exact
}

// Get implements provision.Resource.
func (r Peers) Get(ctx context.Context, name string) (provision.Attrs, error) {
	all, err := r.List(ctx, []string{name})
	return all[name], err
}

// List implements provision.Lister: one dump of a device answers for all its peers.
func (r Peers) List(ctx context.Context, names []string) (map[string]provision.Attrs, error) {
	l, err := look(ctx, r.Sockets)
	if err != nil {
		return nil, err
	}
	defer l.close()
	at := map[string]map[Key]*Peer{}
	out := make(map[string]provision.Attrs, len(names))
	var errs []error
	for _, name := range names {
		device, public, err := parsePeerName(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if _, ok := at[device]; !ok {
			d, _, err := l.find(ctx, device)
			errs = append(errs, err)
			at[device] = d.byKey()
		}
		if p := at[device][public]; p != nil {
			out[name] = p.attrs()
		}
	}
	return out, errors.Join(errs...)
}

func (d *Device) byKey() map[Key]*Peer {
	out := map[Key]*Peer{}
	if d != nil {
		for i := range d.Peers {
			out[d.Peers[i].PublicKey] = &d.Peers[i]
		}
	}
	return out
}

// Set implements provision.Resource. It is provision.ErrPending while there is no such device.
func (r Peers) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	return r.SetAll(ctx, []provision.Step{{Name: name, Have: have, Want: want}})
}

// SetAll implements provision.Batcher. Everybody who is not named, and every prefix that stays where
// it is, is left alone: nobody loses a packet. The kernel has no transactions for peers: what was done
// is undone when something fails.
func (r Peers) SetAll(ctx context.Context, steps []provision.Step) error {
	l, err := look(ctx, r.Sockets)
	if err != nil {
		return err
	}
	defer l.close()
	var batches []*batch
	at := map[string]*batch{}
	for _, s := range steps {
		device, public, err := parsePeerName(s.Name)
		if err != nil {
			return err
		}
		b := at[device]
		if b == nil {
			d, _, err := l.find(ctx, device)
			if err != nil {
				return err
			}
			b = &batch{name: device, device: d, peers: d.byKey(), owner: map[netip.Prefix]Key{}}
			at[device], batches = b, append(batches, b)
		}
		if err := b.add(s, public); err != nil {
			return err
		}
	}
	for i, b := range batches {
		err := l.conn.tell(ctx, l.sockets, b.device, b.change())
		if err == nil {
			continue
		}
		for _, done := range batches[:i+1] {
			err = errors.Join(err, l.conn.tell(context.WithoutCancel(ctx), l.sockets, done.device, done.back()))
		}
		return err
	}
	return nil
}

package nft

import (
	"context"
	"strings"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// seen is a table as it was last read. The kernel's generation grows with every change of any
// table of its namespace, so as long as it is the same nothing has to be read again: to list a
// large set takes the kernel a time that grows with the square of its size.
type seen struct {
	ns   namespace
	gen  uint32
	text string
}

type namespace struct{ dev, ino uint64 }

// here is the network namespace of the calling thread.
func here() (namespace, bool) {
	var st unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &st) != nil {
		return namespace{}, false
	}
	return namespace{uint64(st.Dev), st.Ino}, true
}

func (r *Resource) remember(name string, gen uint32, text string) {
	ns, ok := here()
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || len(r.seen) > 64 {
		r.seen = map[string]seen{}
	}
	r.seen[name] = seen{ns, gen, text}
}

func (r *Resource) recall(name string) (seen, bool) {
	ns, ok := here()
	r.mu.Lock()
	defer r.mu.Unlock()
	s, there := r.seen[name]
	return s, ok && there && s.ns == ns
}

// unchanged is the table's text, if nothing has changed since it was read.
func (r *Resource) unchanged(ctx context.Context, c *nfnl.Conn, name string) (string, bool) {
	s, ok := r.recall(name)
	if !ok {
		return "", false
	}
	gen, err := generation(ctx, c)
	return s.text, err == nil && gen == s.gen
}

// large gives the elements of large sets from their blobs, as long as the generation is the one
// in which they were read.
func (r *Resource) large(name string) large {
	s, ok := r.recall(name)
	if !ok || !strings.Contains(s.text, `"sha256"`) {
		return nil
	}
	t, err := Parse(s.text)
	if err != nil {
		return nil
	}
	sets := byName(t.Sets, setName)
	return func(gen uint32, set string) ([]Element, bool) {
		k := sets[set]
		if gen != s.gen || k == nil || k.SHA256 == "" {
			return nil, false
		}
		elems, err := r.Blobs.load(k.SHA256, k.Count)
		return elems, err == nil
	}
}

package link

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// FuzzEvents: whatever comes, the table never has more than the input has room for, and what is called a link has a name.
func FuzzEvents(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &Watcher{Table: NewTable(), cfg: Config{Clock: bootClock{}}}
		s := w.Subscribe(true)
		w.apply(b)
		u := s.Next()
		if most := len(b) / unix.NLMSG_HDRLEN; len(u.Links)+len(u.Neighbours) > most || len(w.links) > most {
			t.Errorf("%d links and %d neighbours of %d bytes", len(w.links), len(u.Neighbours), len(b))
		}
		for _, c := range u.Links {
			if c.Link.Name == "" || c.Link.Index <= 0 {
				t.Errorf("%+v", c.Link)
			}
		}
		for m := range messages(b) {
			if hops, _ := decodeDefaults(m.body); len(hops) > len(m.body)/unix.SizeofRtNexthop+1 {
				t.Errorf("%d hops in %d bytes", len(hops), len(m.body))
			}
		}
		w.apply(b) // the same again is no news, but for what was deleted
	})
}

// seeds are the kernel's own answers: whatever this machine has.
func seeds(f *testing.F) [][]byte {
	var out [][]byte
	d, err := openDumper()
	if err != nil {
		f.Logf("no seeds: %v", err)
		return nil
	}
	defer d.close()
	for request, size := range map[uint16]int{
		unix.RTM_GETLINK: unix.SizeofIfInfomsg, unix.RTM_GETADDR: unix.SizeofIfAddrmsg, unix.RTM_GETROUTE: unix.SizeofRtMsg,
		unix.RTM_GETNEIGH: unix.SizeofNdMsg, unix.RTM_GETNETCONF: sizeofNetconf,
	} {
		err := d.dump(request, make([]byte, size), func(m message) {
			b := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+len(m.body))
			native.PutUint32(b, uint32(cap(b)))
			native.PutUint16(b[4:], m.kind)
			out = append(out, append(b, m.body...))
		})
		if err != nil {
			f.Logf("no seeds of request %d: %v", request, err)
		}
	}
	return out
}

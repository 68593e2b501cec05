package journal

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

func FuzzRecord(f *testing.F) {
	a := entry{Record: bound(1, "10.0.0.1", 5, time.Hour)}
	b := a
	b.Left, b.sinceWall, b.approx, b.Key, b.ClientID = ip("10.0.0.2"), 77, true, "iab", "ab"
	for _, e := range []entry{a, b} {
		f.Add(appendEntry(nil, e))
		f.Add(appendPast(nil, past{entry: e, end: 9, how: ByMove}))
	}
	f.Add(appendAnchor(nil, clocktest.New().Read()))
	f.Add(appendValue(nil, value{key: "k", value: []byte("v")}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		s := newState(4)
		before := bytes.Clone(payload)
		err := s.apply(payload)
		if !bytes.Equal(before, payload) {
			t.Fatal("changed its input")
		}
		if err != nil {
			return
		}
		for _, b := range s.leases {
			e, err := decodeEntry(b[2:])
			if err != nil {
				t.Fatal(err)
			}
			if again, err := decodeEntry(appendEntry(nil, e)[2:]); err != nil || again != e {
				t.Fatalf("%+v became %+v, %v", e, again, err)
			}
		}
		for _, b := range s.past.items {
			p, err := decodePast(b[2:])
			if err != nil {
				t.Fatal(err)
			}
			if again, err := decodePast(appendPast(nil, p)[2:]); err != nil || again != p {
				t.Fatalf("%+v became %+v, %v", p, again, err)
			}
		}
		s.rebase(clocktest.New().Read())
		two := newState(4)
		for _, b := range s.snapshot() {
			if err := two.apply(b); err != nil {
				t.Fatalf("cannot read back %x: %v", b, err)
			}
		}
		if !reflect.DeepEqual(two.leases, s.leases) || !reflect.DeepEqual(two.values, s.values) || !reflect.DeepEqual(two.past.all(), s.past.all()) {
			t.Fatal("the snapshot says something else")
		}
	})
}

// FuzzLoad opens any file: what it understands of it is written anew and then understood as the same.
func FuzzLoad(f *testing.F) {
	d, c := newDisk(), clocktest.New()
	j := open(f, d, c)
	r := bound(1, "10.0.0.1", c.Now(), time.Hour)
	mustCommit(f, j, r, bound(2, "10.0.0.2", c.Now(), time.Hour))
	r.State = lease.Released
	mustCommit(f, j, r)
	if err := j.Save("key", []byte("value")); err != nil {
		f.Fatal(err)
	}
	shut(f, j)
	whole, _ := d.Read(fileName)
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Add(bytes.ReplaceAll(whole, []byte("boot-1"), []byte("boot-0")))
	f.Add(append(bytes.Clone(whole), whole[20:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, c := newDisk(), clocktest.New()
		d.dir[fileName] = &inode{data: data, durable: data}
		type content struct {
			Leases  []lease.Lease
			Values  map[string][]byte
			History []Interval
		}
		read := func() (content, Damage) {
			j, err := openSettled(Options{FS: d, Clock: c})
			if err != nil {
				t.Skip("refused: written by a later version")
			}
			defer shut(t, j)
			return content{j.Leases(), j.state.values, j.History(Filter{})}, j.Damage()
		}
		one, _ := read()
		two, damage := read()
		if damage != (Damage{}) {
			t.Errorf("damaged by ourselves: %+v", damage)
		}
		if !reflect.DeepEqual(one, two) {
			t.Errorf("first %+v\nthen %+v", one, two)
		}
	})
}

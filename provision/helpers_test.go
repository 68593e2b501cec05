package provision

import (
	"context"
	"hash/crc32"
	"io/fs"
	"time"
)

// raw is JSON as it is.
type raw []byte

func (r raw) MarshalJSON() ([]byte, error) { return r, nil }

func crc(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

// one is a directory of few files.
type one map[string][]byte

func (o one) Names() ([]string, error) {
	var names []string
	for n := range o {
		names = append(names, n)
	}
	return names, nil
}

func (o one) Read(n string) ([]byte, error) {
	if b, ok := o[n]; ok {
		return append([]byte(nil), b...), nil
	}
	return nil, fs.ErrNotExist
}

func (o one) Write(n string, b []byte) error  { o[n] = append([]byte(nil), b...); return nil }
func (o one) Append(n string, b []byte) error { o[n] = append(o[n], b...); return nil }
func (o one) Sync(string) error               { return nil }
func (o one) SyncDir() error                  { return nil }
func (o one) Remove(n string) error           { delete(o, n); return nil }

func (o one) Rename(a, b string) error {
	o[b] = o[a]
	delete(o, a)
	return nil
}

// nothing is state that is never there and takes everything.
type nothing struct{}

func (nothing) Get(context.Context, string) (Attrs, error)      { return nil, nil }
func (nothing) Set(context.Context, string, Attrs, Attrs) error { return nil }

// leap is a clock that does not wait.
type leap struct{ up time.Duration }

func (l *leap) Now() time.Time                { return time.Unix(0, 0).Add(l.up) }
func (l *leap) Boot() (string, time.Duration) { return "boot", l.up }

func (l *leap) After(d time.Duration) <-chan time.Time {
	l.up += d
	c := make(chan time.Time, 1)
	c <- l.Now()
	return c
}

package wlan

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
)

// one is a reader that knows one path.
type one struct {
	host.Reader
	path string
}

func (o one) Lstat(path string) (host.Info, error) {
	if path != o.path {
		return host.Info{}, fs.ErrNotExist
	}
	return host.Info{}, nil
}

func TestActor(t *testing.T) {
	dir := t.TempDir()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "wlan0"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	asked := make(chan string, 4)
	answer := "OK\n"
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := conn.ReadFromUnix(buf)
			if err != nil {
				return
			}
			asked <- string(buf[:n])
			_, _ = conn.WriteToUnix([]byte(answer), from)
		}
	}()
	told := ""
	x := &Actor{Log: slog.New(slog.DiscardHandler), Files: one{path: "/etc/w.conf"}, Dir: dir, Set: func(_ context.Context, c string) error {
		told = c
		return errors.New("a kernel without rules")
	}}
	if err := x.Do(t.Context(), Reconfigure("wlan0", "/etc/w.conf")); err != nil || <-asked != "RECONFIGURE" {
		t.Errorf("reconfigure: %v", err)
	}
	for what, a := range map[string]provision.Action{"whose file is gone": Reconfigure("wlan0", "/etc/gone.conf"), "without a supplicant": Reconfigure("wlan1", "/etc/w.conf")} {
		if err := x.Do(t.Context(), a); err != nil || len(asked) > 0 {
			t.Errorf("a device %s: %v, asked %d times", what, err, len(asked))
		}
	}
	if err := x.Do(t.Context(), Country("DE")); err != nil || told != "DE" {
		t.Errorf("country: %v, told %q", err, told)
	}
	for _, a := range []provision.Action{{}, {Kind: KindReconfigure}, {Kind: KindCountry}, {Kind: "x", Args: map[string]string{argCountry: "DE"}},
		{Kind: KindCountry, Args: map[string]string{argCountry: "DE", argIfname: "wlan0"}}} {
		if x.Do(t.Context(), a) == nil {
			t.Errorf("%+v is carried out", a)
		}
	}
}

func TestRefusedConfiguration(t *testing.T) {
	dir := t.TempDir()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "wlan0"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buf := make([]byte, 100)
		if _, from, err := conn.ReadFromUnix(buf); err == nil {
			_, _ = conn.WriteToUnix([]byte("FAIL\n"), from)
		}
	}()
	x := &Actor{Log: slog.New(slog.DiscardHandler), Files: one{path: "/w"}, Dir: dir}
	if x.Do(t.Context(), Reconfigure("wlan0", "/w")) == nil {
		t.Error("a refused configuration is no error")
	}
}

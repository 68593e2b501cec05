package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/fetch"
	"github.com/provision-net/provision/routing/tunnel/update"
)

// teller tells the servers of tunnels. The key is read when it is needed, and goes nowhere but to the
// server.
type teller struct {
	mark  uint32 // of packets that do not take the tunnel which everything else takes
	roots []byte // for tests; nil: the system's
}

// tellTimeout is for one update.
const tellTimeout = 30 * time.Second

// Stamp implements update.Sender.
func (teller) Stamp(c update.Config) string {
	info, err := os.Stat(c.KeyFile)
	if err != nil {
		return "none"
	}
	return fmt.Sprintf("%d %d %o", info.Size(), info.ModTime().UnixNano(), info.Mode().Perm())
}

// Send implements update.Sender.
func (t teller) Send(ctx context.Context, tun update.Tunnel, w update.Way) update.Answer {
	key, err := readKey(tun.Config.KeyFile)
	if err != nil {
		return update.Answer{Kind: update.Refused, Text: err.Error()}
	}
	out, err := fetch.Get(ctx, fetch.Request{URL: tun.Config.Query(update.Named(tun.Config, w)), User: tun.Config.User, Password: key, Agent: "provision - tunnel - 1",
		Family: 4, Device: w.Device, Mark: t.mark, MaxBytes: 16 << 10, Timeout: tellTimeout, Redirects: -1, Roots: t.roots})
	var status *fetch.StatusError
	switch {
	case err == nil:
		return update.Parse(200, string(out.Body))
	case errors.As(err, &status):
		a := update.Parse(status.Code, status.Text)
		a.After = max(a.After, status.After)
		return a
	}
	return update.Answer{Kind: update.Trouble, Text: err.Error()}
}

// readKey reads a secret that nobody else can read.
func readKey(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("the key cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("the key cannot be read: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", fmt.Errorf("the key cannot be read: %w", err)
	}
	switch {
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("%s can be read by others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return "", fmt.Errorf("%s belongs to somebody else (user %d): chown root it", path, st.Uid)
	case info.Size() > 4096:
		return "", fmt.Errorf("%s has %d bytes: it holds the key alone", path, info.Size())
	}
	b := make([]byte, 4097)
	n, err := f.Read(b)
	key := strings.TrimSpace(string(b[:n]))
	if err != nil || key == "" || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("%s holds no key: one line, the update key of the tunnel", path)
	}
	return key, nil
}

package wifi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// ControlDir is where wpa_supplicant has a socket for each interface, unless its configuration
// says otherwise (ctrl_interface).
const ControlDir = "/run/wpa_supplicant"

// Control asks a running wpa_supplicant about one interface (wpa_ctrl.h): datagrams with a command
// in words, one answer each.
type Control struct{ conn *net.UnixConn }

// asked makes names differ within a process.
var asked atomic.Uint32

// OpenControl connects to the socket of an interface in dir; fs.ErrNotExist where no wpa_supplicant
// runs for it.
func OpenControl(dir, ifname string) (*Control, error) {
	if ifname == "" || strings.ContainsAny(ifname, "/\x00") {
		return nil, fmt.Errorf("%q is no interface", ifname)
	}
	// It answers to the name that it was asked from. One in the abstract space (unix(7)) leaves no file.
	own := fmt.Sprintf("@provision-wifi-%d-%d", os.Getpid(), asked.Add(1))
	conn, err := net.DialUnix("unixgram", &net.UnixAddr{Name: own, Net: "unixgram"}, &net.UnixAddr{Name: path.Join(dir, ifname), Net: "unixgram"})
	if errors.Is(err, syscall.ECONNREFUSED) { // the socket of one that was killed
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("cannot reach wpa_supplicant for %s: %w", ifname, err)
	}
	return &Control{conn}, nil
}

// Close ends the conversation.
func (c *Control) Close() error { return c.conn.Close() }

// maxAnswer is more than wpa_supplicant's own limit for an answer.
const maxAnswer = 64 << 10

// Ask sends a command and returns the answer.
func (c *Control) Ask(ctx context.Context, command string) (string, error) {
	deadline := time.Now().Add(5 * time.Second)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := c.conn.Write([]byte(command)); err != nil {
		return "", fmt.Errorf("cannot ask wpa_supplicant %s: %w", command, err)
	}
	buf := make([]byte, maxAnswer)
	n, err := c.conn.Read(buf)
	if err != nil {
		return "", fmt.Errorf("wpa_supplicant does not answer %s: %w", command, err)
	}
	return string(buf[:n]), nil
}

// Reconfigure makes it read its file again. Networks that did not change stay connected.
func (c *Control) Reconfigure(ctx context.Context) error {
	said, err := c.Ask(ctx, "RECONFIGURE")
	if err == nil && strings.TrimSpace(said) != "OK" {
		err = fmt.Errorf("wpa_supplicant refuses its configuration: %s", strings.TrimSpace(said))
	}
	return err
}

// Stage says how joining ssid stands.
func (c *Control) Stage(ctx context.Context, ssid string) (Stage, error) {
	status, err := c.Ask(ctx, "STATUS")
	if err != nil {
		return "", err
	}
	list, err := c.Ask(ctx, "LIST_NETWORKS")
	if err != nil {
		return "", err
	}
	return stage(status, list, ssid), nil
}

// stage judges the answers to STATUS and LIST_NETWORKS. A network that was refused is left out for
// a while (TEMP-DISABLED); the only way to that is a key that the access point does not take, or
// repeated refusals.
func stage(status, list, ssid string) Stage {
	var state, in string
	for line := range strings.Lines(status) {
		switch k, v, _ := strings.Cut(strings.TrimRight(line, "\n"), "="); k {
		case "wpa_state":
			state = v
		case "ssid":
			in = Unescape(v)
		}
	}
	if state == "COMPLETED" {
		if in == ssid {
			return Joined
		}
		return Elsewhere
	}
	for line := range strings.Lines(list) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) == 4 && Unescape(f[1]) == ssid && strings.Contains(f[3], "[TEMP-DISABLED]") {
			return WrongKey
		}
	}
	return Trying
}

// Unescape undoes what wpa_supplicant does to SSIDs in its answers (printf_encode of
// utils/common.c): backslash, quote and what is not plain ASCII.
func Unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'e':
			b.WriteByte(0x1b)
		case 'x':
			var v byte
			if i+2 < len(s) {
				if hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2]); hi >= 0 && lo >= 0 {
					v = byte(hi<<4 | lo)
					i += 2
					b.WriteByte(v)
					continue
				}
			}
			b.WriteString(`\x`)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

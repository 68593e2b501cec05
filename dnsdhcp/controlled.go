package dnsdhcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/control"
)

// Bounds of the control socket: only root speaks on it, so they are against mistakes.
const (
	maxRequest   = 64 << 10
	maxCallers   = 16
	callPatience = 10 * time.Second // for the question
	tellPatience = time.Minute      // for the answer to be read
)

// refusal is an error that the asker made.
type refusal struct{ error }

// answer is what is said to one question on the control socket.
func (s *Server) answer(c control.Call) (any, error) {
	switch c.Path {
	case control.PathStatus:
		return s.status(), nil
	case control.PathLeases:
		return s.leases(c.Query.Get("query"), c.Query.Get("all") != ""), nil
	case control.PathHistory:
		return s.historyAsked(c.Query)
	case control.PathWhy:
		if c.Query.Get("query") == "" {
			return nil, refusal{errors.New("nobody is named")}
		}
		return s.why(c.Query.Get("query")), nil
	case control.PathQueries:
		return s.queries(), nil
	case control.PathReply:
		var in control.Request
		if err := json.Unmarshal(c.Body, &in); err != nil {
			return nil, refusal{fmt.Errorf("cannot read the request: %w", err)}
		}
		return s.dryRun(in)
	case control.PathFlush:
		return s.flush(c.Query.Get("name"))
	case control.PathReload:
		return struct{}{}, s.Reload()
	case control.PathMetrics:
		var text strings.Builder
		s.counters.WritePrometheus(&text)
		return text.String(), nil
	}
	return nil, refusal{fmt.Errorf("nothing is known of %q", c.Path)}
}

func (s *Server) historyAsked(q url.Values) (any, error) {
	var at time.Time
	if text := q.Get("at"); text != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, refusal{fmt.Errorf("%q is no time of RFC 3339", text)}
		}
	}
	return s.history(q.Get("query"), at), nil
}

// converse answers the one question of a connection.
func (s *Server) converse(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(callPatience))
	var c control.Call
	var a control.Answer
	err := json.NewDecoder(io.LimitReader(conn, maxRequest)).Decode(&c)
	if err != nil {
		err = refusal{fmt.Errorf("cannot read the question: %w", err)}
	} else {
		var out any
		if out, err = s.answer(c); err == nil {
			a.Result, err = json.Marshal(out)
		}
	}
	if err != nil {
		a = control.Answer{Error: err.Error(), Refused: errors.As(err, new(refusal))}
	}
	_ = conn.SetWriteDeadline(time.Now().Add(tellPatience))
	_ = json.NewEncoder(conn).Encode(a) // who hung up wants no answer
}

// listenControl opens the control socket. The caller holds the lock on the state, so whatever socket lies there is a
// dead server's.
func listenControl(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the control socket: %w", err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("cannot listen on %s: it is there and no socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot remove the old control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot protect the control socket: %w", err)
	}
	// In the moment before the mode was set others may have connected: they are turned away by who they are.
	return ownOnly{l}, nil
}

// ownOnly accepts connections of root and of the user that we run as.
type ownOnly struct{ net.Listener }

func (l ownOnly) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peerUID(c); err == nil && (uid == 0 || uid == os.Geteuid()) {
			return c, nil
		}
		c.Close()
	}
}

// busy tells one caller too many why there is no answer.
func busy(c net.Conn) {
	_ = c.SetWriteDeadline(time.Now().Add(passing))
	_ = json.NewEncoder(c).Encode(control.Answer{Error: fmt.Sprintf("busy: it has %d other callers; ask again in %v", maxCallers, callPatience)})
}

// serveEach hands each connection of l to f, at most maxCallers at once, until ctx ends. What is beyond goes to full,
// which must not wait.
func serveEach(ctx context.Context, l net.Listener, f, full func(net.Conn)) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	places := make(chan struct{}, maxCallers)
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			time.Sleep(passing) // out of descriptors or memory: passes, or cannot be helped here
			continue
		}
		select {
		case places <- struct{}{}:
			go func() {
				defer func() { <-places }()
				f(c)
			}()
		default:
			full(c)
			c.Close()
		}
	}
}

// passing is how long Accept rests after an error that will pass.
const passing = 100 * time.Millisecond

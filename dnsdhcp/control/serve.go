package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Bounds of the socket: only root speaks on it, so they are against mistakes.
const (
	maxRequest   = 64 << 10
	maxCallers   = 16
	callPatience = 10 * time.Second // for the question
	tellPatience = time.Minute      // for the answer to be read
)

// Refusal is an error that the asker made.
type Refusal struct{ Err error }

// Error is that of what is wrapped.
func (r Refusal) Error() string { return r.Err.Error() }

// Unwrap gives it.
func (r Refusal) Unwrap() error { return r.Err }

// Listen opens a socket that only root and the user that we run as can speak on. The caller
// makes sure that no other server lives: whatever socket lies there is a dead one's.
func Listen(path string) (net.Listener, error) {
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

// Serve answers the one question of each connection until ctx ends. An error that wraps a Refusal
// is told as the asker's.
func Serve(ctx context.Context, l net.Listener, answer func(context.Context, Call) (any, error)) error {
	return Each(ctx, l, func(c net.Conn) { converse(ctx, c, answer) }, busy)
}

func converse(ctx context.Context, conn net.Conn, answer func(context.Context, Call) (any, error)) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(callPatience))
	var c Call
	var a Answer
	err := json.NewDecoder(io.LimitReader(conn, maxRequest)).Decode(&c)
	if err != nil {
		err = Refusal{fmt.Errorf("cannot read the question: %w", err)}
	} else {
		var out any
		if out, err = answer(ctx, c); err == nil {
			a.Result, err = json.Marshal(out)
		}
	}
	if err != nil {
		a = Answer{Error: err.Error(), Refused: errors.As(err, new(Refusal))}
	}
	_ = conn.SetWriteDeadline(time.Now().Add(tellPatience))
	_ = json.NewEncoder(conn).Encode(a) // who hung up wants no answer
}

// busy tells one caller too many why there is no answer.
func busy(c net.Conn) {
	_ = c.SetWriteDeadline(time.Now().Add(passing))
	_ = json.NewEncoder(c).Encode(Answer{Error: fmt.Sprintf("busy: it has %d other callers; ask again in %v", maxCallers, callPatience)})
}

// Each hands each connection of l to f, at most 16 at once, until ctx ends. What is beyond goes to
// full, which must not wait.
func Each(ctx context.Context, l net.Listener, f, full func(net.Conn)) error {
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

package dnsdhcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/provision-net/provision/dnsdhcp/control"
)

// maxRequest bounds what a request on the control socket may be.
const maxRequest = 64 << 10

// refusal is an error that the asker made.
type refusal struct{ error }

// handler answers the control socket.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	get := func(path string, answer func(*http.Request) (any, error)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { s.respond(w, r, answer) })
	}
	post := func(path string, answer func(*http.Request) (any, error)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { s.respond(w, r, answer) })
	}
	get(control.PathStatus, func(*http.Request) (any, error) { return s.status(), nil })
	get(control.PathLeases, func(r *http.Request) (any, error) {
		return s.leases(r.FormValue("query"), r.FormValue("all") != ""), nil
	})
	get(control.PathHistory, func(r *http.Request) (any, error) {
		var at time.Time
		if text := r.FormValue("at"); text != "" {
			var err error
			if at, err = time.Parse(time.RFC3339, text); err != nil {
				return nil, refusal{fmt.Errorf("at=%q is no time of RFC 3339", text)}
			}
		}
		return s.history(r.FormValue("query"), at), nil
	})
	get(control.PathWhy, func(r *http.Request) (any, error) {
		if r.FormValue("query") == "" {
			return nil, refusal{errors.New("query= is missing")}
		}
		return s.why(r.FormValue("query")), nil
	})
	get(control.PathQueries, func(*http.Request) (any, error) { return s.queries(), nil })
	post(control.PathReply, func(r *http.Request) (any, error) {
		var in control.Request
		if err := json.NewDecoder(io.LimitReader(r.Body, maxRequest)).Decode(&in); err != nil {
			return nil, refusal{fmt.Errorf("cannot read the request: %w", err)}
		}
		return s.dryRun(in)
	})
	post(control.PathFlush, func(r *http.Request) (any, error) {
		return s.flush(r.FormValue("name"))
	})
	post(control.PathReload, func(*http.Request) (any, error) { return struct{}{}, s.Reload() })
	mux.HandleFunc("GET "+control.PathMetrics, s.metrics)
	return mux
}

func (s *Server) respond(w http.ResponseWriter, r *http.Request, answer func(*http.Request) (any, error)) {
	out, err := answer(r)
	if err != nil {
		code := http.StatusInternalServerError
		if errors.As(err, new(refusal)) {
			code = http.StatusBadRequest
		}
		http.Error(w, err.Error(), code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // who hung up wants no answer
}

func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.counters.WritePrometheus(w)
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

// serveHTTP serves h on l until ctx ends.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// server is the standard library's, an implementation that knows nothing of this one.
func server(t *testing.T, h http.HandlerFunc) (*httptest.Server, Request) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return s, Request{URL: s.URL, Roots: roots, Timeout: 10 * time.Second}
}

func TestGet(t *testing.T) {
	big := strings.Repeat("0123456789abcdef\n", 20000)
	s, r := server(t, func(w http.ResponseWriter, q *http.Request) {
		user, password, _ := q.BasicAuth()
		switch q.URL.Path {
		case "/plain":
			fmt.Fprintf(w, "%s %s %s %q %q %s", q.Method, q.Host, q.UserAgent(), user, password, q.URL.RawQuery)
		case "/chunks":
			for part := range strings.SplitSeq(big, "\n") {
				fmt.Fprint(w, part, "\n")
				if len(part) == 0 {
					w.(http.Flusher).Flush()
				}
			}
		case "/cached":
			w.Header().Set("ETag", `"v1"`)
			if q.Header.Get("If-None-Match") == `"v1"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			fmt.Fprint(w, "fresh")
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			fmt.Fprint(w, "late")
		case "/empty":
			w.WriteHeader(http.StatusOK)
		}
	})
	get := func(change func(*Request)) Response {
		t.Helper()
		q := r
		change(&q)
		out, err := Get(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	host := strings.TrimPrefix(s.URL, "https://")
	out := get(func(q *Request) { q.URL += "/plain?a=b%20c"; q.User, q.Password, q.Agent = "u", "p:w", "acme/1" })
	if want := `GET ` + host + ` acme/1 "u" "p:w" a=b%20c`; string(out.Body) != want || out.Bytes != int64(len(want)) || !out.Local.IsLoopback() {
		t.Errorf("got %q from %s, want %q", out.Body, out.Local, want)
	}
	if out := get(func(q *Request) { q.URL += "/chunks" }); string(out.Body) != big+"\n" {
		t.Errorf("chunks: %d bytes", len(out.Body))
	}
	var sink bytes.Buffer
	if out := get(func(q *Request) { q.URL += "/chunks"; q.To = &sink }); sink.String() != big+"\n" || out.Body != nil || out.Bytes != int64(sink.Len()) {
		t.Errorf("to a writer: %d bytes and %d", sink.Len(), len(out.Body))
	}
	out = get(func(q *Request) { q.URL += "/cached" })
	if string(out.Body) != "fresh" || out.ETag != `"v1"` {
		t.Errorf("%+v", out)
	}
	if out := get(func(q *Request) { q.URL += "/cached"; q.ETag = out.ETag }); !out.NotModified || out.Body != nil || out.ETag != `"v1"` {
		t.Errorf("not modified: %+v", out)
	}
	if out := get(func(q *Request) { q.URL += "/early" }); string(out.Body) != "late" {
		t.Errorf("after an interim answer: %q", out.Body)
	}
	if out := get(func(q *Request) { q.URL += "/empty" }); len(out.Body) != 0 {
		t.Errorf("nothing: %q", out.Body)
	}
}

func TestRefusals(t *testing.T) {
	hung := make(chan struct{})
	defer close(hung)
	s, r := server(t, func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/large":
			w.Header().Set("Content-Length", "2000")
			_, _ = w.Write(make([]byte, 2000))
		case "/endless":
			for range 100 {
				_, _ = w.Write(make([]byte, 100))
				w.(http.Flusher).Flush()
			}
		case "/torn":
			w.Header().Set("Content-Length", "900")
			_, _ = w.Write(make([]byte, 100))
		case "/hang":
			<-hung
		case "/loop":
			http.Redirect(w, q, "/loop", http.StatusFound)
		case "/down":
			http.Redirect(w, q, "http://"+q.Host+"/x?secret=1", http.StatusFound)
		case "/file":
			http.Redirect(w, q, "file:///etc/passwd", http.StatusFound)
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "x")
		case "/later":
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "come\x1b[31m later\nsecond line")
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	for _, tc := range []struct {
		name   string
		change func(*Request)
		err    error
		text   string
	}{
		{"http", func(q *Request) { q.URL = "http://example.com/?key=secret" }, ErrRefused, "write https"},
		{"userinfo", func(q *Request) { q.URL = "https://u:secret@example.com/" }, ErrRefused, "keys of their own"},
		{"bad with userinfo", func(q *Request) { q.URL = "https://u:secret@exa mple/?secret" }, ErrRefused, "no URL"},
		{"ftp", func(q *Request) { q.URL = "ftp://example.com/" }, ErrRefused, "https://HOST"},
		{"relative", func(q *Request) { q.URL = "x/y" }, ErrRefused, "https://HOST"},
		{"port", func(q *Request) { q.URL = "https://h:70000/" }, ErrRefused, "no port"},
		{"umlaut", func(q *Request) { q.URL = "https://ü.example/" }, ErrRefused, "xn--"},
		{"large", func(q *Request) { q.URL += "/large"; q.MaxBytes = 1999 }, ErrTooLarge, "2000 bytes, more than 1999"},
		{"endless", func(q *Request) { q.URL += "/endless"; q.MaxBytes = 500 }, ErrTooLarge, "more than 500"},
		{"torn", func(q *Request) { q.URL += "/torn" }, ErrTorn, "100 of 900"},
		{"hang", func(q *Request) { q.URL += "/hang"; q.Timeout = 100 * time.Millisecond }, ErrTimeout, ""},
		{"loop", func(q *Request) { q.URL += "/loop" }, ErrRefused, "too often"},
		{"no redirect", func(q *Request) { q.URL += "/loop"; q.Redirects = -1 }, ErrRefused, "too often"},
		{"down", func(q *Request) { q.URL += "/down" }, ErrRefused, "http can be changed"},
		{"file", func(q *Request) { q.URL += "/file" }, ErrRefused, "something else than https"},
		{"gzip", func(q *Request) { q.URL += "/gzip" }, nil, "not asked for"},
		{"later", func(q *Request) { q.URL += "/later" }, nil, "status 503: come[31m later"},
		{"status", func(q *Request) { q.URL += "/none" }, nil, "status 401"},
		{"untrusted", func(q *Request) { q.Roots = nil }, ErrUntrusted, "ca-certificates"},
		{"other name", func(q *Request) {
			q.URL = strings.Replace(s.URL, "127.0.0.1", "elsewhere.test", 1)
			q.Resolve = func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}
		}, ErrUntrusted, "elsewhere.test"},
		{"no roots", func(q *Request) { q.Roots = []byte("none") }, nil, "no certificate"},
		{"family", func(q *Request) { q.Family = 6 }, nil, "no IPv6 address"},
		{"agent", func(q *Request) { q.Agent = "a\r\nX: y" }, nil, "cannot be sent"},
	} {
		q := r
		tc.change(&q)
		out, err := Get(t.Context(), q)
		switch {
		case err == nil:
			t.Errorf("%s: no error, %q", tc.name, out.Body)
		case tc.err != nil && !errors.Is(err, tc.err), !strings.Contains(err.Error(), tc.text), strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	q := r
	q.URL += "/later"
	_, err := Get(t.Context(), q)
	var status *StatusError
	if !errors.As(err, &status) || status.Code != 503 || status.After != 2*time.Minute {
		t.Errorf("%+v", status)
	}
	ctx, cancel := context.WithCancel(t.Context())
	q.URL = r.URL + "/hang"
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := Get(ctx, q); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A password is for the host that it was given for.
func TestPasswordStays(t *testing.T) {
	var got []string
	note := func(w http.ResponseWriter, q *http.Request) { got = append(got, q.Header.Get("Authorization")) }
	other, _ := server(t, note)
	s, r := server(t, func(w http.ResponseWriter, q *http.Request) {
		note(w, q)
		switch q.URL.Path {
		case "/here":
			http.Redirect(w, q, "there", http.StatusMovedPermanently)
		case "/away":
			http.Redirect(w, q, other.URL, http.StatusTemporaryRedirect)
		}
	})
	r.User, r.Password = "u", "p"
	for _, path := range []string{"/here", "/away"} {
		r.URL = s.URL + path
		out, err := Get(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if u, _ := url.Parse(out.URL); path == "/here" && u.Path != "/there" {
			t.Errorf("came to %s", out.URL)
		}
	}
	basic := "Basic dTpw"
	if fmt.Sprint(got) != fmt.Sprint([]string{basic, basic, basic, ""}) {
		t.Errorf("sent %q", got)
	}
}

// Where nothing tells the length, a cut connection is not the end; TLS's own end is.
func TestUntilEnd(t *testing.T) {
	s, r := server(t, func(http.ResponseWriter, *http.Request) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, cut := range []bool{false, true} {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conn := tls.Server(c, &tls.Config{Certificates: s.TLS.Certificates})
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte("HTTP/1.0 200 OK\r\n\r\nhalf a list"))
			if cut {
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = c.Read(make([]byte, 100))
			}
			_ = conn.Close()
		}
	}()
	r.URL = "https://" + l.Addr().String() + "/"
	if out, err := Get(t.Context(), r); err != nil || string(out.Body) != "half a list" {
		t.Errorf("ended by TLS: %q, %v", out.Body, err)
	}
	if out, err := Get(t.Context(), r); !errors.Is(err, ErrTorn) {
		t.Errorf("cut: %q, %v", out.Body, err)
	}
	<-done
}

func TestLocal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "list")
	if err := os.WriteFile(path, []byte("192.0.2.0/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := Get(t.Context(), Request{URL: path})
	if err != nil || string(first.Body) != "192.0.2.0/24\n" {
		t.Fatal(string(first.Body), err)
	}
	again, err := Get(t.Context(), Request{URL: "file://" + path, ETag: first.ETag, LastModified: first.LastModified})
	if err != nil || !again.NotModified {
		t.Errorf("%+v, %v", again, err)
	}
	if err := os.WriteFile(path, []byte("192.0.2.0/25\n10.0.0.0/8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err = Get(t.Context(), Request{URL: path, ETag: first.ETag, LastModified: first.LastModified}); err != nil || again.NotModified {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := Get(t.Context(), Request{URL: path, MaxBytes: 5}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	for _, bad := range []string{dir, filepath.Join(dir, "none"), "/dev/zero"} {
		if _, err := Get(t.Context(), Request{URL: bad}); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

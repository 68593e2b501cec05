// Package fetch gets one document: by HTTPS (HTTP/1.1 over TLS, RFC 9112), or from a local file. What
// comes is bounded in size and time, and nothing is taken that is not whole. Plain http is refused,
// also behind a redirect; a password goes to the host that it is for and to no other.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Defaults of a Request.
const (
	DefaultBytes     = 1 << 20
	DefaultTimeout   = 30 * time.Second
	DefaultRedirects = 5
)

// Request is what is asked for. Only URL must be given.
type Request struct {
	// URL is https://HOST[:PORT]/PATH, file:///PATH or /PATH. It has no user or password in it.
	URL string
	// MaxBytes is the most that the document may have; 0: DefaultBytes.
	MaxBytes int64
	// Timeout is for everything together: names, connections, redirects, the document; 0:
	// DefaultTimeout.
	Timeout time.Duration
	// Redirects is the most that are followed; 0: DefaultRedirects; below 0: none.
	Redirects int
	// User and Password are sent at once (Basic, RFC 7617) if User is not empty.
	User, Password string
	// Agent is what the client calls itself; empty: "provision".
	Agent string
	// ETag and LastModified are those of the copy that is there already (Response has them): if it
	// is still good, Response.NotModified says so.
	ETag, LastModified string
	// To gets the document as it comes, in place of Response.Body. What it got is worth something
	// only if Get returns no error.
	To io.Writer

	// Roots are certificates (PEM) that are trusted in place of the system's; empty: the system's.
	Roots []byte
	// Family is 4 or 6 to connect by that family only.
	Family int
	// Device and Mark bind the connection to a network device and mark its packets (SO_BINDTODEVICE,
	// SO_MARK), on Linux.
	Device string
	Mark   uint32
	// Resolve is asked for the addresses of names; nil: the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to an address with a port; nil: as Family, Device and Mark say. network is
	// "tcp4" or "tcp6".
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Response is what came.
type Response struct {
	Body []byte
	// NotModified: the copy that the request tells of is still good; there is no Body.
	NotModified bool
	// ETag and LastModified are for the next Request.
	ETag, LastModified string
	// Bytes is the size of the document.
	Bytes int64
	// URL is where it came from after all redirects.
	URL string
	// Local is the address of this machine that the connection had; not valid for files.
	Local netip.Addr
}

// Errors that callers branch on; they come wrapped.
var (
	// ErrRefused: the URL is none that is taken, whoever may be behind it.
	ErrRefused = errors.New("refused")
	// ErrTooLarge: the document has more than MaxBytes.
	ErrTooLarge = errors.New("too large")
	// ErrTimeout: it took longer than Timeout.
	ErrTimeout = errors.New("took too long")
	// ErrTorn: the connection ended in the middle.
	ErrTorn = errors.New("ended in the middle")
	// ErrUntrusted: the server's certificate is not good for it.
	ErrUntrusted = errors.New("certificate not trusted")
)

// StatusError is an answer other than the document.
type StatusError struct {
	Code int
	// Text is the beginning of what came with it, in one line of printable ASCII.
	Text string
	// After is how long the server asks to wait (Retry-After in seconds); 0: it does not say.
	After time.Duration
}

// Error tells the code and the text.
func (e *StatusError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("the server answers with status %d", e.Code)
	}
	return fmt.Sprintf("the server answers with status %d: %s", e.Code, e.Text)
}

// Problem says why url is none that Get takes; empty when it is one.
func Problem(text string) string {
	_, err := parse(text)
	if err == nil {
		return ""
	}
	return err.Error()
}

// Get gets a document. Errors name the URL without its query, which may be secret.
func Get(ctx context.Context, r Request) (Response, error) {
	u, err := parse(r.URL)
	if err != nil {
		return Response{}, fmt.Errorf("cannot fetch %s: %w: %w", shown(u, r.URL), ErrRefused, err)
	}
	r.MaxBytes = orDefault(r.MaxBytes, DefaultBytes)
	ctx, cancel := context.WithTimeout(ctx, orDefault(r.Timeout, DefaultTimeout))
	defer cancel()
	if u.Scheme == "file" {
		out, err := local(u.Path, r)
		if err != nil {
			err = fmt.Errorf("cannot read %s: %w", u.Path, err)
		}
		return out, err
	}
	out, err := follow(ctx, u, r)
	if err != nil {
		return Response{}, fmt.Errorf("cannot fetch %s: %w", shown(u, ""), explain(ctx, err))
	}
	return out, nil
}

// follow gets u, or what it leads to.
func follow(ctx context.Context, u *url.URL, r Request) (Response, error) {
	left := r.Redirects
	if left == 0 {
		left = DefaultRedirects
	}
	for origin := u.Host; ; left-- {
		if u.Host != origin {
			r.User, r.Password = "", ""
		}
		out, to, err := exchange(ctx, u, r)
		if err != nil || to == "" {
			out.URL = u.String()
			return out, err
		}
		if left <= 0 {
			return Response{}, fmt.Errorf("%w: redirected too often, at last by %s", ErrRefused, u.Host)
		}
		next, err := u.Parse(to)
		if err == nil {
			next.Fragment, next.RawFragment = "", ""
			_, err = parse(next.String())
		}
		if err == nil && next.Scheme != "https" {
			err = errors.New("to something else than https")
		}
		if err != nil {
			return Response{}, fmt.Errorf("%w: %s redirects: %w", ErrRefused, u.Host, err)
		}
		u = next
	}
}

// parse takes the URLs that Get takes.
func parse(text string) (*url.URL, error) {
	if strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") {
		return &url.URL{Scheme: "file", Path: text}, nil
	}
	u, err := url.Parse(text)
	var bad *url.Error
	if errors.As(err, &bad) {
		err = bad.Err // it would show the whole text
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("no URL: %w", err)
	case u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") && strings.HasPrefix(u.Path, "/") && u.RawQuery == "":
		return u, nil
	case u.Scheme == "http":
		return u, errors.New("http can be changed by anybody on the way: write https://")
	case u.Scheme != "https" || u.Hostname() == "":
		return u, errors.New("write https://HOST/PATH, or the path of a file")
	case u.User != nil:
		return u, errors.New("it must not have a user or password in it: they have keys of their own")
	case strings.ContainsFunc(u.Host, func(c rune) bool { return c <= ' ' || c > '~' }):
		return u, errors.New("write the host's name in ASCII (xn--...)")
	}
	if p := u.Port(); p != "" {
		if _, err := netip.ParseAddrPort("[::]:" + p); err != nil || p == "0" {
			return u, fmt.Errorf("%q is no port", p)
		}
	}
	return u, nil
}

// shown is what messages call it.
func shown(u *url.URL, text string) string {
	if u == nil {
		if len(text) > 100 {
			text = text[:100] + "..."
		}
		text, _, _ = strings.Cut(text, "?")
		if _, after, ok := strings.Cut(text, "@"); ok {
			text = "..." + after
		}
		return fmt.Sprintf("%q", text)
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

func orDefault[T int64 | time.Duration](n, otherwise T) T {
	if n > 0 {
		return n
	}
	return otherwise
}

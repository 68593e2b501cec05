package fetch

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// exchange asks one server once. to is where it says that the document is.
func exchange(ctx context.Context, u *url.URL, r Request) (out Response, to string, err error) {
	request, err := compose(u, r)
	if err != nil {
		return out, "", err
	}
	config := &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if len(r.Roots) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(r.Roots) {
			return out, "", errors.New("there is no certificate in what is to be trusted")
		}
	}
	raw, err := connect(ctx, u, r)
	if err != nil {
		return out, "", err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if a, ok := raw.LocalAddr().(*net.TCPAddr); ok {
		out.Local = a.AddrPort().Addr().Unmap()
	}
	under := &counted{Conn: raw}
	conn := tls.Client(under, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return out, "", fmt.Errorf("no TLS with %s: %w", u.Host, err)
	}
	if _, err := conn.Write(request); err != nil {
		return out, "", err
	}
	in := bufio.NewReaderSize(conn, 16<<10)
	h, err := readHead(in)
	if err != nil {
		return out, "", err
	}
	out.ETag, out.LastModified = h.etag, h.modified
	var body bytes.Buffer
	sink := io.Writer(&body)
	switch {
	case h.status == 304 && (r.ETag != "" || r.LastModified != ""):
		out.NotModified = true
		out.ETag, out.LastModified = cmp.Or(h.etag, r.ETag), cmp.Or(h.modified, r.LastModified)
		return out, "", nil
	case h.status == 301 || h.status == 302 || h.status == 303 || h.status == 307 || h.status == 308:
		if h.location == "" {
			return out, "", &StatusError{Code: h.status, Text: "a redirect to nowhere"}
		}
		return out, h.location, nil
	case h.status != 200:
		// A server that refuses may say why; how much of it comes does not matter.
		_, _ = h.copy(&body, in, 512)
		return out, "", &StatusError{Code: h.status, Text: oneLine(body.Bytes()), After: h.after}
	case r.To != nil:
		sink = r.To
	}
	out.Bytes, err = h.copy(sink, in, r.MaxBytes)
	if err == nil && h.untilEnd && under.ended {
		// Without a length only TLS tells the end from a cut (RFC 9112 section 9.8).
		err = ErrTorn
	}
	out.Body = body.Bytes()
	return out, "", err
}

// compose is the request's bytes.
func compose(u *url.URL, r Request) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", u.RequestURI(), strings.TrimSuffix(u.Host, ":443"))
	for _, f := range []struct{ name, value string }{
		{"User-Agent", cmp.Or(r.Agent, "provision")}, {"If-None-Match", r.ETag}, {"If-Modified-Since", r.LastModified},
	} {
		if strings.ContainsFunc(f.value, func(c rune) bool { return c < ' ' || c > '~' }) {
			return nil, fmt.Errorf("%s %q cannot be sent", f.name, f.value)
		}
		if f.value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
		}
	}
	if r.User != "" {
		if strings.Contains(r.User, ":") {
			return nil, errors.New("a user's name with a colon cannot be sent")
		}
		fmt.Fprintf(&b, "Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte(r.User+":"+r.Password)))
	}
	b.WriteString("Accept: */*\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n")
	return b.Bytes(), nil
}

// connect tries the host's addresses in turn.
func connect(ctx context.Context, u *url.URL, r Request) (net.Conn, error) {
	dial := r.Dial
	if dial == nil {
		control, err := through(r.Device, r.Mark)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{KeepAlive: -1, Control: control}
		dial = d.DialContext
	}
	addrs, err := resolve(ctx, u.Hostname(), r)
	if err != nil {
		return nil, err
	}
	port := cmp.Or(u.Port(), "443")
	var errs []error
	for i, a := range addrs {
		network := "tcp6"
		if a.Is4() {
			network = "tcp4"
		}
		// One address that swallows everything must leave time for the others.
		one, cancel := share(ctx, len(addrs)-i)
		c, err := dial(one, network, net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// share is a part of the time that is left, and half of it at most, for one of n attempts.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok || n < 2 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, min(time.Until(end)/time.Duration(n), 10*time.Second))
}

// mostAddrs is how many addresses of a host are tried.
const mostAddrs = 8

func resolve(ctx context.Context, host string, r Request) ([]netip.Addr, error) {
	all := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		all = append(all, a)
	} else {
		ask := r.Resolve
		if ask == nil {
			ask = func(ctx context.Context, host string) ([]netip.Addr, error) {
				return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
			}
		}
		if all, err = ask(ctx, host); err != nil {
			return nil, fmt.Errorf("no address of %s: %w", host, err)
		}
	}
	var out []netip.Addr
	for _, a := range all {
		if a = a.Unmap(); (r.Family == 0 || (r.Family == 4) == a.Is4()) && len(out) < mostAddrs {
			out = append(out, a)
		}
	}
	if len(out) == 0 && r.Family != 0 {
		return nil, fmt.Errorf("%s has no IPv%d address", host, r.Family)
	} else if len(out) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	return out, nil
}

// counted is a connection that tells whether it was ended from below TLS.
type counted struct {
	net.Conn
	ended bool
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.ended = c.ended || err != nil
	return n, err
}

// explain makes one error of all that means time, and says what helps against a certificate.
func explain(ctx context.Context, err error) error {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		roots   x509.SystemRootsError
	)
	switch {
	case ctx.Err() == context.DeadlineExceeded || errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
		return ErrTimeout
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w: %w; this machine's clock says %s", ErrUntrusted, err, time.Now().UTC().Format("2006-01-02 15:04"))
	case errors.As(err, &unknown), errors.As(err, &roots):
		return fmt.Errorf("%w: %w; are the system's certificates installed (ca-certificates)?", ErrUntrusted, err)
	case errors.As(err, &invalid), errors.As(err, &host):
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return ErrTorn
	}
	return err
}

// oneLine is text that can be shown.
func oneLine(b []byte) string {
	text, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, text)
	if len(text) > 200 {
		text = text[:200]
	}
	return strings.TrimSpace(text)
}

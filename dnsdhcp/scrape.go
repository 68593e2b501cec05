package dnsdhcp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/control"
)

// maxHead bounds the head of a request for metrics.
const maxHead = 8 << 10

// scrapePatience is how long one request and its answer may take.
const scrapePatience = 10 * time.Second

// serveMetrics serves the figures on loopback to whoever scrapes them. It is as much of HTTP as that takes (RFC 9112: one
// request, GET, and the connection ends), for the reason that package control gives.
func (s *Server) serveMetrics(ctx context.Context) error {
	l, err := net.Listen("tcp", s.config.metrics.String())
	if err != nil {
		s.log.Error("cannot serve metrics", "error", err)
		return nil // no reason to serve nothing else
	}
	return control.Each(ctx, l, s.scrape, func(net.Conn) {})
}

func (s *Server) scrape(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(scrapePatience))
	in := bufio.NewReader(io.LimitReader(c, maxHead))
	line, err := in.ReadString('\n')
	if err != nil {
		return
	}
	for { // a connection that is closed with unread bytes is reset, and the answer lost
		h, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if strings.TrimRight(h, "\r\n") == "" {
			break
		}
	}
	words := strings.Fields(line)
	code, kind, body := "404 Not Found", "text/plain; charset=utf-8", "only /metrics is here\n"
	switch {
	case len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/"):
		code, body = "400 Bad Request", "this is no HTTP\n"
	case words[0] != "GET":
		code, body = "405 Method Not Allowed", "only GET is known\n"
	case words[1] == "/metrics" || strings.HasPrefix(words[1], "/metrics?"):
		var text strings.Builder
		s.counters.WritePrometheus(&text)
		code, kind, body = "200 OK", "text/plain; version=0.0.4; charset=utf-8", text.String()
	}
	fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", code, kind, len(body), body)
}

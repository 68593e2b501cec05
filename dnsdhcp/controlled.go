package dnsdhcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/control"
)

// answer is what is said to one question on the control socket.
func (s *Server) answer(_ context.Context, c control.Call) (any, error) {
	switch c.Path {
	case control.PathStatus:
		return s.status(), nil
	case control.PathLeases:
		return s.leases(c.Query.Get("query"), c.Query.Get("all") != ""), nil
	case control.PathHistory:
		return s.historyAsked(c.Query)
	case control.PathWhy:
		if c.Query.Get("query") == "" {
			return nil, control.Refusal{Err: errors.New("nobody is named")}
		}
		return s.why(c.Query.Get("query")), nil
	case control.PathQueries:
		return s.queries(), nil
	case control.PathReply:
		var in control.Request
		if err := json.Unmarshal(c.Body, &in); err != nil {
			return nil, control.Refusal{Err: fmt.Errorf("cannot read the request: %w", err)}
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
	return nil, control.Refusal{Err: fmt.Errorf("nothing is known of %q", c.Path)}
}

func (s *Server) historyAsked(q url.Values) (any, error) {
	var at time.Time
	if text := q.Get("at"); text != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, control.Refusal{Err: fmt.Errorf("%q is no time of RFC 3339", text)}
		}
	}
	return s.history(q.Get("query"), at), nil
}

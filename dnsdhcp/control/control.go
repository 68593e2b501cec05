// Package control is how other programs speak with a running server, on a socket that only root can open: one JSON
// value is asked (Call), one is answered (Answer), and the connection ends. Not HTTP, because net/http alone is a
// sixth of what this program may weigh on a small device. What is here is a contract; fields are added, never changed.
package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"syscall"
	"time"
)

// DefaultSocket is where the server listens.
const DefaultSocket = "/run/provision/serve.sock"

// What can be asked for.
const (
	PathStatus  = "status"
	PathLeases  = "leases"  // all=1 with what has ended; query= address, MAC or name
	PathHistory = "history" // query=, at=RFC 3339
	PathWhy     = "why"     // query=
	PathReply   = "reply"   // Body is a Request: what would be answered
	PathQueries = "queries"
	PathFlush   = "flush"   // forget the DNS cache; name= only that and what is below it
	PathReload  = "reload"  // read the configuration again
	PathYield   = "yield"   // end, for a process that has nothing else to do; refused by who has nothing else either
	PathMetrics = "metrics" // Result is a string in the text format of Prometheus
)

// Call is a question.
type Call struct {
	Path  string          `json:"path"`
	Query url.Values      `json:"query,omitempty"`
	Body  json.RawMessage `json:"body,omitempty"`
}

// Answer is what comes back. Refused: the error is in the question.
type Answer struct {
	Result  json.RawMessage `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
	Refused bool            `json:"refused,omitempty"`
}

// Lease is a lease as it is shown. Times are wall clock; empty where there is none.
type Lease struct {
	Address  string `json:"address"`
	MAC      string `json:"mac"`
	ClientID string `json:"client_id,omitempty"` // hexadecimal, colons between
	Name     string `json:"name,omitempty"`
	Network  string `json:"network"`
	State    string `json:"state"` // offered, bound, released, expired, declined
	Reserved bool   `json:"reserved,omitempty"`
	Since    string `json:"since,omitempty"`
	Expires  string `json:"expires,omitempty"` // RFC 3339, or infinite
	Until    string `json:"until,omitempty"`   // of a past lease: when it ended
}

// Event is one thing that happened.
type Event struct {
	Time    string `json:"time"`
	Link    string `json:"link,omitempty"`
	Proto   string `json:"proto"`
	What    string `json:"what"`
	MAC     string `json:"mac,omitempty"`
	Name    string `json:"name,omitempty"`
	Address string `json:"address,omitempty"`
	Reply   string `json:"reply,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// Service is one of the things that are served on a link.
type Service struct {
	Name  string `json:"name"`  // dhcp4, ra, dhcp6, dns, mdns
	State string `json:"state"` // running, waiting, failing
	Why   string `json:"why,omitempty"`
}

// Link is an interface that is served, or would be.
type Link struct {
	Name      string    `json:"name"`
	Index     int       `json:"index,omitempty"`
	Rule      string    `json:"rule"` // the match of the configuration
	Up        bool      `json:"up"`
	Addresses []string  `json:"addresses,omitempty"`
	Services  []Service `json:"services,omitempty"`
	Notes     []string  `json:"notes,omitempty"` // what is missing for more
}

// Network is how full a network is.
type Network struct {
	Name      string `json:"name"`
	Prefix    string `json:"prefix"`
	Size      int    `json:"size"` // addresses in its pools
	Bound     int    `json:"bound"`
	Offered   int    `json:"offered"`
	Remaining int    `json:"remaining"` // never given or given back
	Declined  int    `json:"declined"`
	Reserved  int    `json:"reserved"`
}

// Journal is the state of stable storage.
type Journal struct {
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	Records uint64 `json:"records"` // written since the start
	Syncs   uint64 `json:"syncs"`   // since the start; records / syncs share one
	Error   string `json:"error,omitempty"`
}

// Count is how often one kind of event was seen.
type Count struct {
	Link   string `json:"link,omitempty"`
	Proto  string `json:"proto"`
	What   string `json:"what"`
	Reply  string `json:"reply,omitempty"`
	Reason string `json:"reason,omitempty"`
	Count  uint64 `json:"count"`
}

// Upstream is a name server that is asked.
type Upstream struct {
	Group   string  `json:"group"`
	Address string  `json:"address"`
	State   string  `json:"state"`
	RTT     float64 `json:"rtt_seconds,omitempty"`
	Sent    uint64  `json:"sent"`
	Failed  uint64  `json:"failed"`
}

// Cache is the state of the DNS cache.
type Cache struct {
	Entries int    `json:"entries"`
	Bytes   int64  `json:"bytes"`
	Limit   int64  `json:"limit_bytes"`
	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`
	Stale   uint64 `json:"stale"`
}

// Status is all that a server tells of itself.
type Status struct {
	Version   string     `json:"version"`
	PID       int        `json:"pid"`
	Started   string     `json:"started"`
	Config    string     `json:"config"`
	Ready     bool       `json:"ready"`
	Links     []Link     `json:"links"`
	Networks  []Network  `json:"networks"`
	Problems  []string   `json:"problems,omitempty"` // of the configuration, found while it is in use
	Journal   Journal    `json:"journal"`
	Cache     Cache      `json:"cache"`
	Upstreams []Upstream `json:"upstreams"`
	Counts    []Count    `json:"counts"`
}

// Why is what is known of a client.
type Why struct {
	Query  string   `json:"query"`
	MACs   []string `json:"macs,omitempty"`
	Leases []Lease  `json:"leases,omitempty"`
	Notes  []string `json:"notes,omitempty"` // what the configuration says of it
	Events []Event  `json:"events,omitempty"`
}

// Request describes a DHCPv4 client for a dry run.
type Request struct {
	Link     string   `json:"link"`
	MAC      string   `json:"mac"`
	Kind     string   `json:"kind"` // discover, request, inform
	ClientID string   `json:"client_id,omitempty"`
	Hostname string   `json:"hostname,omitempty"`
	Address  string   `json:"address,omitempty"` // asked for
	Relay    string   `json:"relay,omitempty"`   // giaddr
	Options  []string `json:"options,omitempty"` // parameter request list, by name or number
	Vendor   string   `json:"vendor,omitempty"`  // option 60
	Arch     *uint16  `json:"arch,omitempty"`    // option 93
}

// Reply is what would be answered.
type Reply struct {
	Reply  string   `json:"reply"` // OFFER, ACK, NAK; empty for silence
	Reason string   `json:"reason"`
	Detail string   `json:"detail,omitempty"`
	To     string   `json:"to,omitempty"`
	Lines  []string `json:"lines,omitempty"` // the message, field by field
	Hex    string   `json:"hex,omitempty"`
}

// ErrNotRunning is returned when nobody listens.
var ErrNotRunning = errors.New("the server is not running")

// Client speaks with the server behind a socket.
type Client struct {
	Socket string
	Start  string // the command that starts it, for messages; empty is provision serve
}

// Get asks for path and decodes the answer into out, which may be nil.
func (c Client) Get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, Call{Path: path, Query: query}, out)
}

// Post sends in with the question.
func (c Client) Post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.call(ctx, Call{Path: path, Body: body}, out)
}

const (
	maxAnswer = 256 << 20 // 100,000 leases are some 25 MB
	patience  = 30 * time.Second
)

func (c Client) call(ctx context.Context, q Call, out any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens on %s; start it with `%s`", ErrNotRunning, c.Socket, cmp.Or(c.Start, "provision serve"))
	case err != nil:
		return fmt.Errorf("cannot ask the server on %s: %w", c.Socket, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// A server that has hung up may have said why before.
	asked := json.NewEncoder(conn).Encode(q)
	var a Answer
	if err := json.NewDecoder(io.LimitReader(conn, maxAnswer)).Decode(&a); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		} else if asked != nil {
			return fmt.Errorf("cannot ask the server: %v", asked) // not %w: a broken pipe would pass for that of our own output
		}
		return fmt.Errorf("cannot read the server's answer: %w", err)
	}
	switch {
	case a.Refused:
		return Refusal{fmt.Errorf("the server refused: %s", a.Error)}
	case a.Error != "":
		return fmt.Errorf("the server failed: %s", a.Error)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(a.Result, out); err != nil {
		return fmt.Errorf("cannot read the server's answer: %w", err)
	}
	return nil
}

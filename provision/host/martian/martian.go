// Package martian knows the packets that the kernel drops because of their addresses (RFC 1812,
// 5.3.7): how many, from its counters, and which, by looking at packets and asking the kernel
// about each pair of addresses.
package martian

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Counts are packets dropped.
type Counts struct {
	// ReversePath is of this network namespace: dropped by rp_filter (TcpExt IPReversePathFilter).
	ReversePath uint64
	// Source and Destination are of the whole machine, all its network namespaces together
	// (net/ipv4/route.c, rt_cache_stat); the first contains ReversePath.
	Source, Destination uint64
}

// Found is one pair of addresses whose packets are dropped where they came in.
type Found struct {
	Index    int // of the device
	Link     string
	Src, Dst netip.Addr
	Packets  int // seen while it was looked
}

// ErrUnsupported says that this system is not Linux.
var ErrUnsupported = errors.New("martians can be counted on Linux only")

// reversePath finds IPReversePathFilter in /proc/net/netstat: pairs of lines, names and values.
func reversePath(text string) (uint64, error) {
	lines := strings.Split(text, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for k, name := range names {
			if name == "IPReversePathFilter" && k < len(values) {
				return strconv.ParseUint(values[k], 10, 64)
			}
		}
	}
	return 0, errors.New("the kernel has no counter IPReversePathFilter")
}

// cacheStat adds up the columns of /proc/net/stat/rt_cache: a line of names, then one per
// processor, in hexadecimal.
func cacheStat(text string) (source, destination uint64, err error) {
	lines := strings.Split(text, "\n")
	names := strings.Fields(lines[0])
	found := false
	for _, line := range lines[1:] {
		for k, v := range strings.Fields(line) {
			if k >= len(names) {
				break
			}
			into := &source
			switch names[k] {
			case "in_martian_src":
			case "in_martian_dst":
				into = &destination
			default:
				continue
			}
			n, err := strconv.ParseUint(v, 16, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("column %s of rt_cache: %w", names[k], err)
			}
			*into += n
			found = true
		}
	}
	if !found {
		return 0, 0, errors.New("the kernel has no counters of martians")
	}
	return source, destination, nil
}

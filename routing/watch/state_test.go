package watch

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

// parse makes a state of lines such as these, words as ip(8) has them; table main when none is
// said; links count from 1 in their order:
//
//	link eth1 up rp 1 mac 02:00:00:00:00:01
//	addr eth1 10.0.1.20/20
//	route default via 10.0.0.1 dev eth1 table 2 metric 100 proto 16
//	rule 4 from 10.0.1.20 lookup 2
//	all rp 1
func parse(t testing.TB, text string) *State {
	t.Helper()
	s := &State{Live: &facts.Live{}, Now: time.Unix(1000, 0)}
	index := func(name string) int {
		i := slices.IndexFunc(s.Links, func(l facts.Link) bool { return l.Name == name })
		if i < 0 {
			t.Fatalf("no link %q", name)
		}
		return s.Links[i].Index
	}
	for line := range strings.SplitSeq(text, "\n") {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		word := func(name string) string {
			if i := slices.Index(w, name); i >= 0 && i+1 < len(w) {
				return w[i+1]
			}
			return ""
		}
		number := func(name string, or int) int {
			if word(name) == "" {
				return or
			}
			n, err := strconv.Atoi(word(name))
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return n
		}
		switch w[0] {
		case "link":
			l := facts.Link{Index: len(s.Links) + 1, Name: w[1], Up: slices.Contains(w, "up"), Carrier: slices.Contains(w, "up"), ARPHRD: number("arphrd", 1), Kind: word("kind"), MAC: word("mac")}
			s.Links = append(s.Links, l)
			s.Conf = append(s.Conf, facts.DeviceConf{RPFilter: int32(number("rp", 0)), ProxyARP: int32(number("proxyarp", 0)), ProxyNDP: int32(number("proxyndp", 0)), Forwarding4: int32(number("forwarding", 1))})
		case "all":
			s.All = facts.DeviceConf{RPFilter: int32(number("rp", 0)), Forwarding6: int32(number("forwarding", 1))}
		case "addr":
			s.Addrs = append(s.Addrs, facts.Address{Link: index(w[1]), Prefix: netip.MustParsePrefix(w[2]), Scope: "global"})
		case "route":
			r := facts.Route{Table: uint32(number("table", 254)), Metric: uint32(number("metric", 0)), Proto: number("proto", 3), Type: "unicast", Scope: "link"}
			if kind := word("type"); kind != "" {
				r.Type = kind
			}
			if dev := word("dev"); dev != "" {
				r.Link = index(dev)
			}
			six := slices.Contains(w, "-6")
			if via := word("via"); via != "" {
				r.Gateway, r.Scope = netip.MustParseAddr(via), "global"
				six = r.Gateway.Is6()
			}
			if src := word("src"); src != "" {
				r.Src = netip.MustParseAddr(src)
			}
			switch {
			case w[1] == "default" && six:
				r.Dst = netip.MustParsePrefix("::/0")
			case w[1] == "default":
				r.Dst = netip.MustParsePrefix("0.0.0.0/0")
			case strings.Contains(w[1], "/"):
				r.Dst = netip.MustParsePrefix(w[1])
			default:
				a := netip.MustParseAddr(w[1])
				r.Dst = netip.PrefixFrom(a, a.BitLen())
			}
			s.Routes = append(s.Routes, r)
		case "rule":
			r := facts.Rule{Family: int(w[1][0] - '0'), Action: "lookup", Table: uint32(number("lookup", 254)), Oif: word("oif"), Suppress: number("suppress", -1)}
			r.Suppresses = r.Suppress >= 0
			if from := word("from"); from != "" {
				if !strings.Contains(from, "/") {
					a := netip.MustParseAddr(from)
					from = fmt.Sprintf("%s/%d", from, a.BitLen())
				}
				r.From = netip.MustParsePrefix(from)
			}
			s.Rules = append(s.Rules, r)
		default:
			t.Fatalf("what is %q", line)
		}
	}
	return s
}

// text shows repairs, one a line, devices by name.
func text(s *State, repairs []Repair) string {
	var b strings.Builder
	for _, r := range repairs {
		if r.Note() {
			fmt.Fprintf(&b, "note %s: %s\n", r.Key, r.Why)
			continue
		}
		what := r.What()
		for i := len(s.Links) - 1; i >= 0; i-- {
			what = strings.ReplaceAll(what, fmt.Sprintf("device %d ", s.Links[i].Index), s.Links[i].Name+" ")
		}
		fmt.Fprintf(&b, "%s\n", what)
	}
	return strings.TrimSpace(b.String())
}

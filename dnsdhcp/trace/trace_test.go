package trace

import (
	"fmt"
	"strings"
	"testing"
)

func TestLogKeepsEachClientsOwnHistory(t *testing.T) {
	l := NewLog(NewCounters())
	l.Record(Entry{HW: "quiet", What: "DISCOVER", Reason: "no-pool"})
	for i := range 10 * recentLen {
		l.Record(Entry{HW: "busy", Detail: fmt.Sprint(i)})
	}
	if got := l.Client("quiet"); len(got) != 1 || got[0].Reason != "no-pool" {
		t.Errorf("the quiet client's history is %v", got)
	}
	got := l.Client("busy")
	if len(got) != clientLen || got[0].Detail != fmt.Sprint(10*recentLen-clientLen) || got[clientLen-1].Detail != fmt.Sprint(10*recentLen-1) {
		t.Errorf("the busy client's history is %v", got)
	}
	if got := l.Find(func(e Entry) bool { return e.HW == "quiet" }); len(got) != 0 {
		t.Errorf("the common history still has %v", got)
	}
}

func TestLogIsBounded(t *testing.T) {
	l := NewLog(NewCounters())
	for i := range 10 * countersMax {
		l.Record(Entry{HW: fmt.Sprint(i), Proto: "dns", What: fmt.Sprint("TYPE", i)})
	}
	if len(l.clients) != clientsMax || l.order.Len() != clientsMax {
		t.Errorf("%d and %d clients are remembered", len(l.clients), l.order.Len())
	}
	totals := l.Counters.Totals()
	if len(totals) != countersMax+1 {
		t.Fatalf("%d kinds of event are counted", len(totals))
	}
	var all, other uint64
	for _, n := range totals {
		all += n.Count
		if n.What == "other" {
			other = n.Count
		}
	}
	if all != 10*countersMax || other != 9*countersMax {
		t.Errorf("counted %d, of which %d beyond the bound", all, other)
	}
}

func TestSeriesIsHarmless(t *testing.T) {
	got := series("n", "link", "a\"b\\c\nd\x1b[31m", "x", "y")
	want := `n{link="a\"b\\c\nd\\x1b[31m",x="y"}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := series("n"); got != "n" {
		t.Errorf("got %s", got)
	}
	c := NewCounters()
	c.Count(Entry{Link: "a\"b\\c\nd\x1b[31m"})
	c.Gauge("provision_leases", func() float64 { return 3 }, "network", "usb0")
	var b strings.Builder
	c.WritePrometheus(&b)
	if !strings.Contains(b.String(), `provision_leases{network="usb0"} 3`) || strings.ContainsRune(b.String(), 0x1b) {
		t.Error(b.String())
	}
}

func BenchmarkCount(b *testing.B) {
	l := NewLog(NewCounters())
	for b.Loop() {
		l.Record(Entry{Link: "usb0", Proto: "dhcp4", What: "DISCOVER", HW: "abcdef", Reply: "OFFER"})
	}
}

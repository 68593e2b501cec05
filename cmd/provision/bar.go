//go:build !arm

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/provision-net/provision/gadget/card/device"
	"github.com/provision-net/provision/gadget/card/flash"
)

// bar shows on standard error how far something long has come: one line that changes on a terminal, now and then a new one
// elsewhere.
type bar struct {
	out   io.Writer
	width int // columns of the terminal; 0: it is none
	now   func() time.Time
	stage flash.Stage
	drawn time.Time
	open  bool // the line has not been ended
}

// How often it is drawn.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 10 * time.Second
)

func (g *globals) newBar(now func() time.Time) *bar {
	b := &bar{out: g.stderr, now: now}
	if f, ok := g.stderr.(*os.File); ok {
		if isTerminal(f) && os.Getenv("TERM") != "dumb" {
			if b.width, _ = terminalSize(f); b.width == 0 {
				b.width = 80
			}
		}
	}
	return b
}

func (b *bar) draw(p flash.Progress) {
	now, every := b.now(), barEvery
	if b.width == 0 {
		every = lineEvery
	}
	first := p.Stage != b.stage
	if !first && !p.Over && now.Sub(b.drawn) < every {
		return
	}
	if first {
		b.end()
	}
	b.stage, b.drawn = p.Stage, now
	if b.width == 0 {
		fmt.Fprintln(b.out, barText(p, 0))
		return
	}
	text := barText(p, b.width-1)
	fmt.Fprint(b.out, "\r"+text+strings.Repeat(" ", max(0, b.width-1-columns(text))))
	b.open = true
	if p.Over {
		b.end()
	}
}

// end leaves the line as it is.
func (b *bar) end() {
	if b.open {
		fmt.Fprintln(b.out)
		b.open = false
	}
}

// barText is a line of at most width columns; with 0 without the bar itself.
func barText(p flash.Progress, width int) string {
	tail := ""
	if p.Part >= 0 {
		tail = fmt.Sprintf("%3.0f %%  ", 100*float64(int(100*p.Part))/100)
	}
	tail += device.Bytes(p.Done)
	if p.Total > 0 {
		tail += " of " + device.Bytes(p.Total)
	}
	if p.Rate > 0 {
		tail += "  " + device.Bytes(int64(p.Rate)) + "/s"
	}
	if p.Left >= 0 && !p.Over {
		tail += "  " + longTime(p.Left) + " left"
	}
	head := fmt.Sprintf("%-9s  ", p.Stage)
	room := min(width-len(head)-len(tail)-4, 40)
	if p.Part < 0 || room < 5 {
		text := head + tail
		if width > 0 && len(text) > width {
			text = text[:width]
		}
		return text
	}
	full := min(room, int(p.Part*float64(room)))
	return head + "[" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]  " + tail
}

// longTime is a duration without more than matters: 1 h 5 min, 2 min 3 s, 4 s.
func longTime(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	switch {
	case s >= 3600:
		return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
	case s >= 60:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d s", s)
}

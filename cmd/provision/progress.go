package main

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/provision"
)

// progress is the one line on a person's terminal that says what a command waits for, and for how long at most where that is known, once
// it takes longer than a second. It is on standard error, and gone before anything else is printed; pipes, logs and programs never see it.
type progress struct {
	mu    sync.Mutex
	out   *os.File
	name  string        // of the command
	text  string        // what it does at present
	limit time.Duration // of that; 0 is unknown
	begun time.Time     // of what it does at present
	drawn int           // columns of the line that stands there
	every time.Duration
	still bool // somebody is asked, or all is said: nothing is drawn
	stop  chan struct{}
}

// progressEvery is how long a command may be silent, and how often the line changes.
const progressEvery = time.Second

// showProgress begins the line of a command, where there is a person to read it. What serves until it is stopped has none, and `card
// flash` draws its own.
func (g *globals) showProgress(cmd *cobra.Command) {
	f, ok := g.stderr.(*os.File)
	switch name := cmd.Name(); {
	case !ok || g.output != "table" || g.verbose || os.Getenv("TERM") == "dumb" || !isTerminal(f):
		return
	case name == "serve" || name == "watch" || name == "run" || name == "flash" || strings.HasPrefix(name, "__"):
		return
	}
	p := &g.progress
	p.out, p.name, p.begun, p.stop = f, cmd.CommandPath(), time.Now(), make(chan struct{})
	if p.every == 0 {
		p.every = progressEvery
	}
	cmd.SetContext(provision.WithWaiting(cmd.Context(), func(w provision.Waiting) { p.say(g.waitingText(w), w.Limit) }))
	go p.run()
}

func (p *progress) run() {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

// say is what is done from now on, for limit at most where it is not 0; the same again is the same wait.
func (p *progress) say(text string, limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil || text == p.text && limit == p.limit && !p.still {
		return
	}
	p.text, p.limit, p.begun, p.still = text, limit, time.Now(), false
	if p.drawn > 0 {
		p.draw()
	}
}

// draw needs the lock.
func (p *progress) draw() {
	if p.still || p.out == nil {
		return
	}
	columns, _ := terminalSize(p.out)
	if columns == 0 {
		columns = 80
	}
	p.replace(progressText(p.name, p.text, time.Since(p.begun), p.limit, columns-1))
}

// replace needs the lock. Blanks erase what stands there, which every terminal understands.
func (p *progress) replace(text string) {
	if p.drawn == 0 && text == "" {
		return
	}
	n := columns(text)
	_, _ = p.out.WriteString("\r" + text + strings.Repeat(" ", max(0, p.drawn-n)) + "\r")
	p.drawn = n
}

// hold erases the line until something else is said.
func (p *progress) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.still = true
	p.replace("")
}

// end erases it for good.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		p.replace("")
		p.out = nil
		close(p.stop)
	}
}

// progressText fits into width columns: what is done gives way to the time, and both to the name where they say nothing any more.
func progressText(name, text string, since, limit time.Duration, width int) string {
	tail := " (" + shortDuration(since)
	if limit > 0 {
		tail += " of at most " + shortDuration(limit)
	}
	tail += ")"
	if text == "" {
		text = "at work"
	}
	if room := width - columns(tail); room > 10 {
		return cut(name+": "+visible(text), room) + tail
	}
	return cut(name, max(3, width))
}

// cut shortens text to width columns.
func cut(text string, width int) string {
	if columns(text) <= width {
		return text
	}
	for columns(text) > max(0, width-3) && text != "" {
		r := []rune(text)
		text = string(r[:len(r)-1])
	}
	return text + "..."
}

func shortDuration(d time.Duration) string { return d.Truncate(time.Second).String() }

// waitingText is what the engine waits for, for people.
func (g *globals) waitingText(w provision.Waiting) string {
	switch {
	case w.Action.Kind != "":
		return actionText(w.Action, g.device)
	case len(w.Refs) > 0:
		text := "waiting for the " + refText(w.Refs[0], g.device)
		if n := len(w.Refs) - 1; n > 0 {
			text += " and " + count(n, "other")
		}
		return text
	}
	return w.Text
}

// waits says on the line what the command does next.
func (g *globals) waits(text string, limit time.Duration) { g.progress.say(text, limit) }

// prompt is where a person is asked: the line is silent until the command goes on.
func (g *globals) prompt() io.Writer {
	g.progress.hold()
	return g.stderr
}

// results is where results go; the line is gone then.
func (g *globals) results() io.Writer {
	g.progress.end()
	return g.stdout
}

// beside is w for a log: the line gives way to it, and comes back below.
func (p *progress) beside(w io.Writer) io.Writer { return besideProgress{p, w} }

type besideProgress struct {
	p *progress
	w io.Writer
}

func (b besideProgress) Write(text []byte) (int, error) {
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	b.p.replace("")
	return b.w.Write(text)
}

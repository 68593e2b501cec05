package watch

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Status tells how it went: whether a job still has anything to do, and who makes it do so.
type Status struct {
	Started  time.Time     `json:"started"`
	Events   uint64        `json:"events"` // of the network, that mattered
	Overruns uint64        `json:"overruns"`
	Reads    uint64        `json:"reads"`
	Failed   uint64        `json:"failed_reads,omitempty"`
	LastRead time.Time     `json:"last_read,omitzero"`
	LastTook time.Duration `json:"last_took_ns"`
	Slowest  time.Duration `json:"slowest_ns"`
	Jobs     []JobStatus   `json:"jobs"`
}

// JobStatus is one job. Acted counts over restarts: a job whose Last is long ago may be retired.
type JobStatus struct {
	Name      string    `json:"name"`
	Acted     uint64    `json:"acted"`
	Last      time.Time `json:"last,omitzero"`
	LastWhy   string    `json:"last_why,omitempty"`
	Failed    uint64    `json:"failed,omitempty"`
	LastError string    `json:"last_error,omitempty"`
	Noted     uint64    `json:"noted,omitempty"`
	LastNote  string    `json:"last_note,omitempty"`
	Running   bool      `json:"running,omitempty"`
	Fights    []Fight   `json:"fights,omitempty"`
	Martians  []Martian `json:"martians,omitempty"` // of the last sample
}

// Fight is a repair that somebody keeps undoing.
type Fight struct {
	What  string    `json:"what"`
	Who   string    `json:"probably"`
	Times int       `json:"times"`
	Since time.Time `json:"since"`
	Next  time.Time `json:"next"` // when it may be repaired again
}

// Status is the present one. It may be called from any goroutine.
func (e *Engine) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.status
	s.Jobs = slices.Clone(s.Jobs)
	if e.Overruns != nil {
		s.Overruns = e.Overruns()
	}
	return s
}

// count notes a reading.
func (e *Engine) count(begin time.Time, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status.Reads++
	if err != nil {
		e.status.Failed++
		return
	}
	took := e.read.at.Sub(begin)
	e.status.LastRead, e.status.LastTook = e.read.at, took
	e.status.Slowest = max(e.status.Slowest, took)
}

// tell makes what the jobs did visible to others.
func (e *Engine) tell() {
	jobs := make([]JobStatus, 0, len(e.jobs))
	for _, j := range e.jobs {
		st := j.status
		st.Running, st.Fights = j.busy, nil
		for _, key := range slices.Sorted(maps.Keys(j.attempts)) {
			if a := j.attempts[key]; a.fought() {
				st.Fights = append(st.Fights, Fight{key, a.who, a.acts, a.first, a.next()})
			}
		}
		jobs = append(jobs, st)
	}
	e.mu.Lock()
	e.status.Jobs = jobs
	e.mu.Unlock()
}

// WriteMetrics writes the status in the text format of Prometheus
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
func (s Status) WriteMetrics(w io.Writer) error {
	var b strings.Builder
	family := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP provision_watch_%s %s\n# TYPE provision_watch_%s %s\n", name, help, name, kind)
	}
	one := func(name, kind, help string, value float64) {
		family(name, kind, help)
		fmt.Fprintf(&b, "provision_watch_%s %s\n", name, number(value))
	}
	one("start_time_seconds", "gauge", "When the watch was started.", unixSeconds(s.Started))
	one("events_total", "counter", "Events of the network that mattered.", float64(s.Events))
	one("overruns_total", "counter", "Times that events were lost and everything was read again.", float64(s.Overruns))
	one("reads_total", "counter", "Readings of the kernel's state.", float64(s.Reads))
	one("read_failures_total", "counter", "Readings that failed.", float64(s.Failed))
	one("last_read_duration_seconds", "gauge", "How long the last reading took.", s.LastTook.Seconds())
	perJob := func(name, kind, help string, value func(JobStatus) float64) {
		family(name, kind, help)
		for _, j := range s.Jobs {
			fmt.Fprintf(&b, "provision_watch_%s{job=%s} %s\n", name, label(j.Name), number(value(j)))
		}
	}
	perJob("actions_total", "counter", "Repairs made.", func(j JobStatus) float64 { return float64(j.Acted) })
	perJob("last_action_timestamp_seconds", "gauge", "When the job last had to act; 0 never.", func(j JobStatus) float64 { return unixSeconds(j.Last) })
	perJob("failures_total", "counter", "Repairs that failed.", func(j JobStatus) float64 { return float64(j.Failed) })
	perJob("notes_total", "counter", "Things told that the job could not or must not repair.", func(j JobStatus) float64 { return float64(j.Noted) })
	perJob("fights", "gauge", "Things that somebody keeps undoing.", func(j JobStatus) float64 { return float64(len(j.Fights)) })
	_, err := io.WriteString(w, b.String())
	return err
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// label quotes a label's value: only backslash, quote and line feed are escaped.
func label(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

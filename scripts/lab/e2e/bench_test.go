//go:build lab && linux

package e2e

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// runsOf is how often a command is measured as a whole process inside the machine.
const runsOf = 50

// measure reports the median and the maximum of a command line's wall-clock time.
func measure(b *testing.B, m *lab.Machine, command string) {
	b.Helper()
	for range b.N {
		out := m.MustRun(b, "bash", "-c", `for i in $(seq `+strconv.Itoa(runsOf)+`); do a=${EPOCHREALTIME/./}; `+command+` >/dev/null; echo $((${EPOCHREALTIME/./}-a)); done`)
		var micros []int
		for _, f := range strings.Fields(out) {
			n, err := strconv.Atoi(f)
			if err != nil {
				b.Fatalf("not a time: %q", f)
			}
			micros = append(micros, n)
		}
		slices.Sort(micros)
		b.ReportMetric(float64(micros[len(micros)/2])/1000, "ms-median")
		b.ReportMetric(float64(micros[len(micros)-1])/1000, "ms-max")
	}
}

// BenchmarkNoOpApply measures an apply that has nothing to do, and counts the processes that it starts.
func BenchmarkNoOpApply(b *testing.B) {
	lab.Need(b, lab.Tier2)
	for _, name := range roots {
		b.Run(name, func(b *testing.B) {
			w := lab.NewWorld(b, lab.WorldOpts{})
			m := lab.Boot(b, lab.Root(b, name), w, lab.BootOpts{Binary: binary})
			await(b, m, name, "eth0", "eth1")
			m.MustRun(b, "provision", "apply")
			o := apply(b, m)
			if o.Result.Writes != 0 || len(o.Result.Triggers) != 0 {
				b.Fatalf("the second apply did something: %+v", o)
			}
			b.ResetTimer()
			measure(b, m, "provision apply")
			b.ReportMetric(float64(o.Processes), "processes")
		})
	}
}

// BenchmarkDetect measures --detect on a machine with 10 NICs.
func BenchmarkDetect(b *testing.B) {
	lab.Need(b, lab.Tier2)
	w := lab.NewWorld(b, lab.WorldOpts{})
	m := lab.Boot(b, lab.Root(b, "bookworm-netplan"), w, lab.BootOpts{Binary: binary})
	await(b, m, "bookworm-netplan", "eth0", "eth1")
	for i := range 4 {
		m.MustRun(b, "ip", "link", "add", "extra"+strconv.Itoa(i), "type", "veth", "peer", "name", "peer"+strconv.Itoa(i))
	}
	b.ResetTimer()
	measure(b, m, "provision --detect")
}

package provision_test

import (
	"fmt"
	"testing"

	"github.com/provision-net/provision/provision"
)

// A second apply of 100 references: what a machine pays at each boot.
func BenchmarkNoOpApply(b *testing.B) {
	r := &rig{kv: newKV(), bell: &bell{}, clock: &clock{}, dir: b.TempDir() + "/state"}
	r.open(b)
	var d provision.Desired
	for i := range 100 {
		d.Wants = append(d.Wants, want(fmt.Sprint("ref", i), "x", "1", "y", "2", "secret", "3"))
		d.Triggers = append(d.Triggers, trigger(fmt.Sprint("t", i%5), fmt.Sprint("ref", i)))
	}
	if _, err := r.Apply(bg, d, provision.ApplyOptions{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.open(b)
		res, err := r.Apply(bg, d, provision.ApplyOptions{})
		if err != nil || res.Writes != 0 {
			b.Fatal(res, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "µs/ref")
}

package gadget

import (
	"strings"
	"testing"
)

func TestOutcomes(t *testing.T) {
	const two = "=== RUN   TestA\n    a.go:1: hello\n=== RUN   TestA/sub\n--- PASS: TestA (0.10s)\n    --- PASS: TestA/sub (0.00s)\n" +
		"=== RUN   TestB\n    b.go:2: why\n--- FAIL: TestB (0.20s)\nFAIL\n"
	for _, tt := range []struct {
		name, said, status string
		want               []string
		bad                string
	}{
		{"two", two, "1", []string{"TestA PASS", "TestB FAIL"}, ""},
		{"one is cut off", two + "=== RUN   TestC\n    c.go:3: going\n", "", []string{"TestA PASS", "TestB FAIL", "TestC FAIL"}, ""},
		{"cut off between two", "=== RUN   TestA\n--- PASS: TestA (0.1s)\n", "", []string{"TestA PASS"}, "before its tests were done"},
		{"nothing ran", "testing: warning: no tests to run\nPASS\n", "0", nil, "ran no test"},
		{"nothing at all", "", "", nil, "before its tests were done"},
		{"a status of its own", "=== RUN   TestA\n--- PASS: TestA (0.1s)\nos.Exit\n", "2", []string{"TestA PASS"}, "exit status is 2"},
		{"a panic", "=== RUN   TestA\n--- FAIL: TestA (0.1s)\npanic: index out of range\n", "2", []string{"TestA FAIL"}, "index out of range"},
		{"a skip is one", "=== RUN   TestA\n    a.go:1: no tool\n--- SKIP: TestA (0.0s)\nPASS\n", "0", []string{"TestA SKIP"}, ""},
	} {
		got, err := Outcomes(tt.said, tt.status)
		var names []string
		for _, o := range got {
			names = append(names, o.Name+" "+o.Status)
		}
		if strings.Join(names, ",") != strings.Join(tt.want, ",") {
			t.Errorf("%s: %v, want %v", tt.name, names, tt.want)
		}
		if (err == nil) != (tt.bad == "") || err != nil && !strings.Contains(err.Error(), tt.bad) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.bad)
		}
	}
	all, _ := Outcomes(two, "1")
	if !strings.Contains(all[0].Text, "hello") || strings.Contains(all[0].Text, "why") || !strings.Contains(all[1].Text, "why") {
		t.Errorf("texts: %q", all)
	}
}

package gadget

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Outcome is how one test inside a guest went.
type Outcome struct {
	Name   string
	Status string // PASS, FAIL or SKIP
	Text   string // all that it said, its own subtests included
}

var (
	begun = regexp.MustCompile(`^=== RUN   (Test[A-Za-z0-9_]+)$`)
	ended = regexp.MustCompile(`^--- (PASS|FAIL|SKIP): (Test[A-Za-z0-9_]+) \(`)
)

// Outcomes reads what a test binary has said with -test.v, when its tests ran one after the other. A test that has begun and has not
// ended is a failure, and so are a run without tests and an exit status that the tests do not explain.
func Outcomes(said, status string) ([]Outcome, error) {
	var all []Outcome
	var open *Outcome
	rest := strings.Builder{}
	failed := false
	for line := range strings.Lines(said) {
		word := strings.TrimRight(line, "\r\n")
		if m := begun.FindStringSubmatch(word); m != nil && open == nil {
			all = append(all, Outcome{Name: m[1], Status: "FAIL"})
			open = &all[len(all)-1]
			continue
		}
		if open == nil {
			rest.WriteString(line)
			continue
		}
		if m := ended.FindStringSubmatch(word); m != nil && m[2] == open.Name {
			open.Status = m[1]
			failed = failed || m[1] == "FAIL"
			open.Text += line
			open = nil
			continue
		}
		open.Text += line
	}
	switch {
	case open != nil:
		open.Text += fmt.Sprintf("the guest ended (status %q) before this test did\n", status)
		return all, nil
	case status == "":
		return all, errors.New("the guest was ended before its tests were done\n" + rest.String())
	case len(all) == 0:
		return nil, errors.New("the guest ran no test\n" + rest.String())
	case strings.Contains(rest.String(), "panic: "):
		// It stands behind the line that ends the test it was in, and the tests that were to come are missing.
		return all, errors.New("a test panicked, and those after it did not run\n" + rest.String())
	case status != "0" && !failed:
		return all, fmt.Errorf("every test passed and the exit status is %s\n%s", status, rest.String())
	}
	return all, nil
}

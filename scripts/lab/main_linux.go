package lab

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// Main runs the tests of a package, for its TestMain to exit with the status. ready prepares what they share, in a folder that goes
// with them; its error is the end.
func Main(m *testing.M, ready func(dir string) error) (status int) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "provision-lab-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = ready(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// MainWithProgram is Main with the program under test (Program), and nothing else that is shared.
func MainWithProgram(m *testing.M, program *string) (status int) {
	return Main(m, func(dir string) (err error) {
		*program, err = Program(dir)
		return err
	})
}

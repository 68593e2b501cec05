package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Program is the program under test: the one that PROVISION_BINARY names, or else one that is built in dir as it is shipped (scripts/build).
// What go build makes of it is larger and laid out differently, so that its start and its memory are others.
func Program(dir string) (string, error) {
	if ready := os.Getenv("PROVISION_BINARY"); ready != "" {
		return ready, nil
	}
	out := filepath.Join(dir, "provision")
	return out, BuildProgram(out)
}

// BuildProgram builds the program as it is shipped, with what env adds to the environment, like GOARCH.
func BuildProgram(out string, env ...string) error {
	dir, err := scriptDir()
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(dir, "..", "build"), out)
	cmd.Env = append(os.Environ(), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the program: %w\n%s", err, said)
	}
	return nil
}

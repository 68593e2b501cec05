package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/routing"
)

// units are the texts of the units that apply installs; they need a program that stays where it
// is and that nobody but root can write.
func (g *globals) units() routing.Units {
	program, err := g.lasting()
	if err != nil {
		return routing.Units{Why: err.Error()}
	}
	return routing.Units{Restore: unitFor(restoreUnit, program), Watch: unitFor(watchUnit, program)}
}

// gadgetUnits is the same for what brings gadgets up at boot.
func (g *globals) gadgetUnits() gadget.Units {
	program, err := g.lasting()
	if err != nil {
		return gadget.Units{Why: err.Error()}
	}
	return gadget.Units{Gadget: unitFor(gadgetUnit, program)}
}

// lasting is the path of the program that a unit can start, on this machine or in the image.
func (g *globals) lasting() (string, error) {
	if g.root != "/" {
		for _, path := range []string{unitProgram, "/usr/bin/provision", "/usr/sbin/provision"} {
			if info, err := os.Stat(filepath.Join(g.root, path)); err == nil && info.Mode().IsRegular() {
				return path, nil
			}
		}
		return "", fmt.Errorf("the image has no %s", unitProgram)
	}
	program, err := installed()
	if err != nil {
		return "", err
	}
	if err := agent.Lasting(program); err != nil {
		return "", fmt.Errorf("%w; install it as %s", err, unitProgram)
	}
	return program, nil
}

package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

//go:embed provision-recover.service
var recoverUnit string

//go:embed provision-serve.service
var serveUnit string

//go:embed provision-restore.service
var restoreUnit string

//go:embed provision-watch.service
var watchUnit string

//go:embed provision-gadget.service
var gadgetUnit string

// unitProgram is the program's path in the embedded units.
const unitProgram = "/usr/local/bin/provision"

func newHook(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "hook",
		Short: "Print the glue that runs provision at the right moment",
		Args:  groupArgs,
		RunE:  group,
	}
	c.AddCommand(newHookCloudInit(g), &cobra.Command{
		Use:   "systemd [recover|serve|restore|watch|gadget]",
		Short: "Print a unit for systemd: what settles or puts back things at boot, or what keeps running",
		Long: `Print a unit for systemd.

recover, the default: runs 'provision recover' at boot, before any network manager starts. It does nothing on a boot
where nothing was left unfinished. Install it once:
  provision hook systemd | sudo tee /etc/systemd/system/provision-recover.service
  sudo systemctl enable provision-recover.service

serve: keeps 'provision serve' running, with no more rights than it needs:
  provision hook systemd serve | sudo tee /etc/systemd/system/provision-serve.service
  sudo systemctl enable --now provision-serve.service

restore and watch: put the committed firewall, routes and kernel parameters back at boot, and keep them. gadget: brings
the USB gadget up as soon as there is a controller, and follows it. 'provision apply' installs these three itself where
the configuration needs them.`,
		Args:      oneArg("recover, serve, restore, watch or gadget"),
		ValidArgs: []string{"recover", "serve", "restore", "watch", "gadget"},
		RunE: func(_ *cobra.Command, args []string) error {
			name := "recover"
			if len(args) == 1 {
				name = args[0]
			}
			unit, ok := map[string]string{"recover": recoverUnit, "serve": serveUnit, "restore": restoreUnit, "watch": watchUnit, "gadget": gadgetUnit}[name]
			if !ok {
				return usageError{fmt.Errorf("there is no unit %q: it is recover, serve, restore, watch or gadget", name)}
			}
			program, err := installed()
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(g.results(), unitFor(unit, program))
			return err
		},
	})
	c.AddCommand(newHookVagrant(g), newHookAnsible(g))
	return c
}

// installed is the path of this program.
func installed() (string, error) {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return "", fmt.Errorf("cannot tell where this program is: %w", err)
	}
	return program, nil
}

// unitFor is an embedded unit that starts program.
func unitFor(unit, program string) string {
	return strings.ReplaceAll(unit, unitProgram, unitQuote(program))
}

// unitQuote writes a path for ExecStart= (systemd.service(5), command lines): % and $
// are doubled, and a path with blanks or quotes is put into quotes.
func unitQuote(path string) string {
	path = strings.NewReplacer("%", "%%", "$", "$$").Replace(path)
	if strings.ContainsAny(path, " \t\"'\\") {
		path = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
	}
	return path
}

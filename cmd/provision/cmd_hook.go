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

// unitProgram is the program's path in the embedded units.
const unitProgram = "/usr/local/bin/provision"

func newHook(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "hook",
		Short: "Print the glue that runs provision at the right moment",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "systemd [recover|serve]",
		Short: "Print the unit that settles at boot what a power cut left, or the one of the server",
		Long: `Print a unit for systemd.

recover, the default: runs 'provision recover' at boot, before any network manager starts. It does nothing on a boot
where nothing was left unfinished. Install it once:
  provision hook systemd | sudo tee /etc/systemd/system/provision-recover.service
  sudo systemctl enable provision-recover.service

serve: keeps 'provision serve' running, with no more rights than it needs:
  provision hook systemd serve | sudo tee /etc/systemd/system/provision-serve.service
  sudo systemctl enable --now provision-serve.service`,
		Args:      oneArg("recover or serve"),
		ValidArgs: []string{"recover", "serve"},
		RunE: func(_ *cobra.Command, args []string) error {
			unit := recoverUnit
			if len(args) == 1 {
				switch args[0] {
				case "recover":
				case "serve":
					unit = serveUnit
				default:
					return usageError{fmt.Errorf("there is no unit %q: it is recover or serve", args[0])}
				}
			}
			program, err := os.Executable()
			if err == nil {
				program, err = filepath.EvalSymlinks(program)
			}
			if err != nil {
				return fmt.Errorf("cannot tell where this program is: %w", err)
			}
			_, err = fmt.Fprint(g.stdout, strings.ReplaceAll(unit, unitProgram, unitQuote(program)))
			return err
		},
	})
	return c
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

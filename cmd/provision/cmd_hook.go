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

// unitProgram is the program's path in the embedded unit.
const unitProgram = "/usr/local/bin/provision"

func newHook(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "hook",
		Short: "Print the glue that runs provision at the right moment",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "systemd",
		Short: "Print the unit that settles at boot what a power cut left",
		Long: `Print the unit that runs 'provision recover' at boot, before any network manager starts. Install it once:
  provision hook systemd | sudo tee /etc/systemd/system/provision-recover.service
  sudo systemctl enable provision-recover.service
It does nothing on a boot where nothing was left unfinished.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			program, err := os.Executable()
			if err == nil {
				program, err = filepath.EvalSymlinks(program)
			}
			if err != nil {
				return fmt.Errorf("cannot tell where this program is: %w", err)
			}
			_, err = fmt.Fprint(g.stdout, strings.ReplaceAll(recoverUnit, unitProgram, unitQuote(program)))
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

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/vagrant"
)

func newHookVagrant(g *globals) *cobra.Command {
	var script bool
	c := &cobra.Command{
		Use:   "vagrant",
		Short: "Print the lines of a Vagrantfile that make a guest's network right, or their script",
		Long: `Print the lines that belong into a Vagrantfile, before its last 'end'. They upload the program from this machine, so
nothing is downloaded, and run 'provision apply' in the guest; before 'vagrant package' they run 'provision generalize'.

Put beside the Vagrantfile the script and the program for the guest's architecture:
  provision hook vagrant --script > provision.sh
  cp /usr/local/bin/provision provision-linux-amd64    # on Linux: the same program; else from the release
With a provision.yaml beside them the guest is configured by it.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			text := vagrant.Lines
			if script {
				text = vagrant.Script
			}
			_, err := fmt.Fprint(g.results(), text)
			return err
		},
	}
	c.Flags().BoolVar(&script, "script", false, "print the script that runs in the guest, provision.sh")
	return c
}

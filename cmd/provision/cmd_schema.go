package main

import (
	"encoding/json"
	"reflect"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/cmd/provision/internal/strict"
)

func newSchema(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration, for editors",
		Long: `Print the JSON Schema of the configuration file. Editors with the YAML language server complete and check keys with
it: provision schema > provision.schema.json, and as the first line of the file
  # yaml-language-server: $schema=provision.schema.json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			enc := json.NewEncoder(g.results())
			enc.SetIndent("", "  ")
			return enc.Encode(strict.Schema(reflect.TypeOf(agent.Config{}), "provision"))
		},
	}
}

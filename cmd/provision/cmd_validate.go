package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/cmd/provision/internal/strict"
)

// validation is what validate prints as JSON.
type validation struct {
	File     string          `json:"file"`
	Valid    bool            `json:"valid"`
	Problems strict.Problems `json:"problems"`
}

func newValidate(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check a configuration file: every problem at once, with its place",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("validate takes one file, got %d", len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			path := g.config
			if len(args) == 1 {
				path = args[0]
			}
			_, source, err := agent.Load(g.root, path)
			if g.output != "table" {
				var problems strict.Problems
				if err != nil && !errors.As(err, &problems) {
					return err
				}
				if problems == nil {
					problems = strict.Problems{}
				}
				if e := g.emit(validation{source.String(), err == nil, problems}, nil); e != nil {
					return e
				}
			}
			if err != nil {
				return err
			}
			return g.emitLine("%s: valid", source)
		},
	}
}

// emitLine prints one line in table form; JSON and YAML have said it already.
func (g *globals) emitLine(format string, args ...any) error {
	if g.output != "table" {
		return nil
	}
	_, err := fmt.Fprintf(g.results(), format+"\n", args...)
	return err
}

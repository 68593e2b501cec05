//go:build !arm

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/gadget/bootfile"
	"github.com/provision-net/provision/gadget/card/health"
	"github.com/provision-net/provision/gadget/doctor"
)

func newCardDoctor(g *globals) *cobra.Command {
	var board string
	c := &cobra.Command{
		Use:   "doctor PATH",
		Short: "Say what is wrong with a card or image, and the cure",
		Long: `Look at a card that is not in its Pi: the file system (of an image), config.txt and cmdline.txt as the board would read
them, how far the preparation and the first boot got and what its log says, the configuration, and files that the
release on the card does not read. Nothing is changed. Status 2: something is wrong.` + "\n" + exitHelp,
		Args: cardPath,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := knownBoard(board); err != nil {
				return err
			}
			m, err := openCard(args[0], false)
			if err != nil {
				return err
			}
			defer m.Close()
			in := health.Input{Read: m.Read, Board: board, Free: m.Free(), Config: func(text []byte) error {
				_, err := agent.Parse("provision.yaml", text)
				return err
			}}
			if in.Problems, in.Unclean, in.Looked, err = m.Problems(); err != nil {
				return err
			}
			report, err := health.Look(in)
			if err != nil {
				return err
			}
			if err := g.emit(report, func(p *page) {
				p.line("%s, looked at for a %s", p.bold(m.String()), board)
				drawDoctor(p, report)
			}); err != nil {
				return err
			}
			if w := report.Worst(); w == doctor.Error || w == doctor.Warning {
				return errDifferences
			}
			return nil
		},
	}
	c.Flags().StringVar(&board, "board", health.DefaultBoard, "the `model` that the card is for")
	return c
}

// knownBoard wants the model of a Raspberry Pi.
func knownBoard(model string) error {
	if _, ok := bootfile.BoardOf(model, ""); !ok {
		return usageError{fmt.Errorf("--board %q is no Raspberry Pi that is known here: write it as %q", model, health.DefaultBoard)}
	}
	return nil
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

// newCard only says where cards are prepared: nobody does it on a Pi Zero, whose own card is small.
var newCard = func(*globals) *cobra.Command {
	return &cobra.Command{Use: "card", Hidden: true, DisableFlagParsing: true, RunE: func(*cobra.Command, []string) error {
		return fmt.Errorf("%w: the commands for cards are not in the program for 32-bit ARM; prepare cards on another computer", agent.ErrMissing)
	}}
}

func cardStuck(error) bool { return false }

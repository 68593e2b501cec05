package main

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

// globals are the flags of every command and the streams.
type globals struct {
	config, root, state string
	output, color       string
	verbose             bool
	early               bool // this machine boots and no network manager has started
	stdout, stderr      io.Writer
	progress            progress
	signals             *signals
	// device names the device that a selector means; nil before facts are gathered.
	device func(selector string) string
}

// makers make each command of the first level by its name.
func makers() map[string]func(*globals) *cobra.Command {
	return map[string]func(*globals) *cobra.Command{
		"detect": newDetect, "plan": newPlan, "apply": newApply, "verify": newVerify, "rollback": newRollback, "confirm": newConfirm, "revert": newRevert,
		"recover": newRecover, "generalize": newGeneralize, "hook": newHook, "explain": newExplain, "facts": newFacts, "init": newInit,
		"validate": newValidate, "schema": newSchema, "version": newVersion, "serve": newServe, "leases": newLeases, "status": newStatus, "why": newWhy,
		"firewall": newFirewall, "lists": newLists, "watch": newWatch, "restore": newRestore, "gadget": newGadget, "wifi": newWifi,
		"wireguard": newWireguard, "overlay": newOverlay, "host": newHost, "card": newCard,
	}
}

// newRoot makes the command line: all of it, or, where the first word is a command, that command. Clients wait for the server and hosts for
// the gadget, and the other commands with their flags would be a fiftieth of the time until then.
func newRoot(g *globals, args ...string) *cobra.Command {
	var detect bool
	c := &cobra.Command{
		Use:   "provision",
		Short: "Make a machine's network right at first boot and keep it right",
		Long: `provision finds out who manages each NIC (netplan, NetworkManager, ifupdown, systemd-networkd, dhcpcd), makes the
bridged NIC win over the NAT NIC for IPv4 and IPv6, brings up NICs that nobody configured, verifies the outcome and
goes back when it is wrong. Your SSH session is watched while it works. 'provision serve' is the DHCP, DNS and router
advertisement server of the links that the configuration names.

Start with 'provision --detect', which needs no root and changes nothing.
` + exitHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if detect {
				return runDetect(cmd.Context(), g)
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Name() != "serve" { // it has something to do before
				g.signals.begin()
				g.signals.await()
			}
			if err := g.check(); err != nil {
				return err
			}
			if path := cmd.CommandPath(); g.output != "table" && (strings.HasPrefix(path, "provision hook ") || path == "provision init") {
				return usageError{fmt.Errorf("%s prints a file as it has to be: leave out --output %s", path, g.output)}
			}
			g.showProgress(cmd)
			return nil
		},
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: false},
	}
	c.Flags().BoolVar(&detect, "detect", false, "the same as the command detect")
	p := c.PersistentFlags()
	p.StringVarP(&g.config, "config", "c", "", "configuration `file` (default "+agent.DefaultPath+", then provision.yaml on the boot partition, then built-in defaults)")
	p.StringVar(&g.root, "root", "/", "mounted image `dir` to work on: plan and write files without running daemons")
	p.StringVarP(&g.output, "output", "o", "table", "output `format`: table, json or yaml")
	p.BoolVarP(&g.verbose, "verbose", "v", false, "more: all evidence, and on standard error what is done")
	p.StringVar(&g.color, "color", "auto", "colours: `when` is auto, always or never")
	p.StringVar(&g.state, "state-dir", agent.DefaultStateDir, "`dir` for snapshots and what is remembered")
	_ = p.MarkHidden("state-dir")
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	c.SetOut(g.stdout) // the commands for completion remember where to write
	c.SetErr(g.stderr)
	all := makers()
	if len(args) > 0 && all[args[0]] != nil {
		c.AddCommand(all[args[0]](g))
		c.CompletionOptions.DisableDefaultCmd = true
		return c
	}
	for _, command := range all {
		c.AddCommand(command(g))
	}
	strictBuiltins(c)
	return c
}

// serving reports whether the first word of the command line says that the server is to be started.
func serving(args []string) bool { return len(args) > 0 && args[0] == "serve" }

// strictBuiltins makes cobra's own commands refuse what they do not know, as ours do.
func strictBuiltins(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "completion":
			c.Args, c.RunE = groupArgs, group
		case "help":
			c.Run = nil
			c.RunE = func(_ *cobra.Command, args []string) error { return helpAbout(root, args) }
		}
	}
}

// helpAbout is the help of the command that these words name below c.
func helpAbout(c *cobra.Command, args []string) error {
	found, rest, err := c.Find(args)
	if err != nil || len(rest) > 0 {
		return usageError{fmt.Errorf("there is no help about %q", strings.Join(args, " "))}
	}
	found.InitDefaultHelpFlag()
	return found.Help()
}

// group is what a command does that only has others below it, and groupArgs what it takes: nothing, or help and a command.
func group(c *cobra.Command, args []string) error {
	return helpAbout(c, args[min(1, len(args)):])
}

func groupArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 && args[0] == "help" {
		return nil
	}
	return noArgs(c, args)
}

// ownConfig is -c of a command that does not look for a configuration of this machine.
func (g *globals) ownConfig(c *cobra.Command, help string) {
	c.Flags().StringVarP(&g.config, "config", "c", "", help)
}

// needRoot refuses, with the one reason that matters, a command that changes this
// machine and was not started by root. Files of a mounted image are another matter:
// their owner may write them.
func (g *globals) needRoot(command string) error {
	if runtime.GOOS != "linux" || g.root != "/" || os.Geteuid() == 0 {
		return nil
	}
	return permissionError(command)
}

// permissionError names the command that only root may run.
type permissionError string

func (e permissionError) Error() string {
	return string(e) + " changes the network and must be run as root (sudo); `provision --detect` and `provision plan` work without"
}

func (permissionError) Unwrap() error { return fs.ErrPermission }

// check refuses flag values that no command understands.
func (g *globals) check() error {
	switch g.output {
	case "table", "json", "yaml":
	default:
		return usageError{fmt.Errorf("--output %q is not one of table, json, yaml", g.output)}
	}
	switch g.color {
	case "auto", "always", "never":
	default:
		return usageError{fmt.Errorf("--color %q is not one of auto, always, never", g.color)}
	}
	if info, err := os.Stat(g.root); err != nil || !info.IsDir() {
		return usageError{fmt.Errorf("--root %s is not a folder", g.root)}
	}
	// Whatever leads to / is this machine and not an image.
	root, err := filepath.Abs(g.root)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return usageError{fmt.Errorf("--root %s cannot be used: %w", g.root, err)}
	}
	g.root = root
	return nil
}

// logger speaks on standard error, and only when asked to; the journal or the
// terminal adds the time.
func (g *globals) logger() *slog.Logger { return g.loggerFrom(slog.LevelWarn) }

// loggerFrom shows what is of this level or above it, with -v everything.
func (g *globals) loggerFrom(level slog.Level) *slog.Logger {
	if g.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(g.progress.beside(g.stderr), &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// agent loads the configuration and puts the wings together.
func (g *globals) agent() (*agent.Agent, error) {
	config, source, err := agent.Load(g.root, g.config)
	if err != nil {
		return nil, err
	}
	return g.wire(agent.Options{Config: config, Source: source})
}

// agentWithout puts the wings together for commands that need no configuration,
// so that a broken one cannot keep them from working.
func (g *globals) agentWithout() (*agent.Agent, error) {
	return g.wire(agent.Options{Config: agent.Config{Version: 1}})
}

func (g *globals) wire(o agent.Options) (*agent.Agent, error) {
	o.Root, o.StateDir, o.Early, o.Units, o.GadgetUnits = g.root, g.state, g.early, g.units(), g.gadgetUnits()
	if program, err := g.lasting(); err == nil {
		o.ServeUnit = unitFor(serveUnit, program)
		o.WireguardUnit = unitFor(wireguardUnit, program)
	}
	if o.Log == nil {
		o.Log = g.logger()
	}
	a, err := agent.New(o)
	if err != nil {
		return nil, err
	}
	g.device = a.Device
	return a, nil
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.HasSubCommands() {
		c.SuggestionsMinimumDistance = max(1, len(args[0])/3) // in three letters, two may be anything
		if s := c.SuggestionsFor(args[0]); len(s) > 0 {
			return usageError{fmt.Errorf("unknown command %q (did you mean %q?)", args[0], s[0])}
		}
		return usageError{fmt.Errorf("unknown command %q", args[0])}
	}
	return usageError{fmt.Errorf("%s takes no argument, got %q", c.CommandPath(), args[0])}
}

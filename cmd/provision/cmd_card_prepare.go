//go:build !arm

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/backends/wifi"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/gadget/card/bootfiles"
	"github.com/provision-net/provision/gadget/card/health"
	"github.com/provision-net/provision/gadget/card/medium"
	"github.com/provision-net/provision/gadget/card/shacrypt"
)

// cardConfig is the configuration of a card for which none was named.
const cardConfig = `# The board is a network card and a serial port to the host that it is plugged into.
version: 1
gadget:
  profile: auto
`

// cardOptions are the flags of card prepare.
type cardOptions struct {
	program, release, board  string
	hostname, user, password string
	keys                     []string
	ssh                      bool
	network                  wifi.Network
	passphrase               string
	open, wpa3               bool
	oldNames, noGadget       bool
	replace, dryRun          bool
}

// cardPrepared is what `card prepare` prints.
type cardPrepared struct {
	Path    string       `json:"path"`
	Card    string       `json:"card"`
	Hook    string       `json:"hook"` // what runs the first boot's script: firstrun, cloud-init
	Why     string       `json:"why"`
	Boot    string       `json:"boot"` // where that system mounts the partition
	Program string       `json:"program"`
	Changes []cardChange `json:"changes"`
	Free    int64        `json:"free"` // bytes; -1 unknown
	DryRun  bool         `json:"dry_run,omitempty"`
}

func newCardPrepare(g *globals) *cobra.Command {
	var o cardOptions
	c := &cobra.Command{
		Use:   "prepare PATH",
		Short: "Make a card or image set the Pi up at its first boot",
		Long: `Put this program and a configuration (-c FILE) on a card's boot partition, and have the first boot install them: by
cloud-init's user-data where that release reads it (Raspberry Pi OS since Trixie), else by a script that the kernel's
command line names. config.txt makes the USB port a device; the other lines stay as they are, so does what makes the
root file system grow at the first boot.

Nothing is written unless everything fits. It is read back. Doing it again changes nothing, doing it with other flags is
as if only those had been given, and 'card undo' goes back. Passwords and keys are asked for or read from files, never
arguments; the first boot moves them into the system, readable by root alone, and writes over them on the card. Its log
is provision-first-boot.log on the card.` + "\n" + exitHelp,
		Args: cardPath,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCardPrepare(cmd, g, o, args[0])
		},
	}
	f := c.Flags()
	g.ownConfig(c, "configuration `file` of the board (default: a gadget of the profile auto; with --no-gadget none)")
	f.StringVar(&o.program, "program", "", "provision for the board, a `file` of the same release (default: that for ARMv6 beside this program)")
	f.StringVar(&o.board, "board", "", "the `model` that the card is for, such as \""+health.DefaultBoard+"\": the program has to run on it")
	f.StringVar(&o.hostname, "hostname", "", "`name` of the host")
	f.StringVar(&o.user, "user", "", "make, or rename the first user to, this `name`, who may use sudo")
	f.StringVar(&o.password, "password-file", "", "the user's password is the first line of this `file`, - is standard input; a hash ($6$, $y$) is taken as it is")
	f.StringArrayVar(&o.keys, "ssh-key", nil, "`file` with public SSH keys (.pub) that let the user in; switches SSH on")
	f.BoolVar(&o.ssh, "ssh", false, "switch the SSH server on")
	f.StringVar(&o.network.SSID, "wifi", "", "join the Wi-Fi network of this `name`")
	f.StringVar(&o.passphrase, "wifi-passphrase-file", "", "its passphrase is the first line of this `file`, - is standard input")
	f.BoolVar(&o.wpa3, "wifi-wpa3", false, "join by WPA3 alone")
	f.BoolVar(&o.open, "wifi-open", false, "the network has no passphrase: everybody in reach can read along")
	f.BoolVar(&o.network.Hidden, "wifi-hidden", false, "the network hides its name and has to be called")
	f.StringVar(&o.network.Country, "country", "", "`code` of the country, such as DE or US: Wi-Fi needs it")
	f.BoolVar(&o.oldNames, "old-names", false, "network interfaces keep the kernel's names, eth0 and wlan0 (net.ifnames=0)")
	f.BoolVar(&o.noGadget, "no-gadget", false, "leave the USB port as it is")
	f.StringVar(&o.release, "release", "", "what is on the card, where it is not recognised: `name` is bullseye, bookworm or trixie")
	f.BoolVar(&o.replace, "replace", false, "also in place of a user-data or network-config that somebody else has written")
	f.BoolVar(&o.dryRun, "dry-run", false, "only show what would be done")
	return c
}

func runCardPrepare(cmd *cobra.Command, g *globals, o cardOptions, path string) error {
	if err := knownBoard(o.board); o.board != "" && err != nil {
		return err
	}
	m, err := openCard(path, !o.dryRun)
	if err != nil {
		return err
	}
	defer m.Close()
	record, err := bootfiles.ReadRecord(m.Read)
	if err != nil {
		return err
	}
	release, err := o.recognise(m, record)
	if err != nil {
		return err
	}
	s, program, err := o.setup(cmd.Context(), g, cmd.InOrStdin(), m, release)
	if err != nil {
		return err
	}
	g.waits("reading and writing the card", 0)
	boot, err := s.Options(release)
	if err != nil {
		return usageError{err}
	}
	boot.Gadget = !o.noGadget
	if release.Hook == bootfiles.CloudInit {
		if err := cloudFiles(m, o.replace, &boot); err != nil {
			return err
		}
	}
	changes, err := bootfiles.Renew(m.Read, record, boot)
	if err != nil {
		return fmt.Errorf("cannot prepare %s: %w", path, err)
	}
	if !o.dryRun && len(changes) > 0 {
		if err := m.Write(changes); err != nil {
			return err
		}
	}
	out := cardPrepared{path, m.String(), string(release.Hook), release.Why, release.Dir, program, cardChanges(changes), m.Free(), o.dryRun}
	return g.emit(out, func(p *page) { drawCardPrepared(p, out) })
}

func drawCardPrepared(p *page, out cardPrepared) {
	hook := "the kernel's command line calls the first boot's script"
	if out.Hook == string(bootfiles.CloudInit) {
		hook = "cloud-init calls the first boot's script"
	}
	p.line("%s: %s (%s)", p.bold(out.Card), hook, out.Why)
	drawCardChanges(p, out.Changes)
	switch {
	case len(out.Changes) == 0:
		p.line("%s", p.green("nothing to do: it is prepared like this already"))
	case out.DryRun:
		p.line("nothing was written")
	default:
		p.line("%s: eject it, put it into the Pi, and plug the Pi in. The first boot takes a minute or two more", p.green("prepared"))
		p.line("%s", p.dim("`provision card undo "+out.Path+"` takes it back"))
	}
}

// recognise says what is on the card.
func (o cardOptions) recognise(m medium.Medium, record bootfiles.Record) (bootfiles.Release, error) {
	switch o.release {
	case "":
	case "bullseye":
		return bootfiles.Release{Hook: bootfiles.FirstRun, Dir: "/boot", Why: "--release bullseye"}, nil
	case "bookworm":
		return bootfiles.Release{Hook: bootfiles.FirstRun, Dir: "/boot/firmware", Why: "--release bookworm"}, nil
	case "trixie":
		return bootfiles.Release{Hook: bootfiles.CloudInit, Dir: "/boot/firmware", Why: "--release trixie"}, nil
	default:
		return bootfiles.Release{}, usageError{fmt.Errorf("--release %q is not one of bullseye, bookworm, trixie; a later one is as trixie", o.release)}
	}
	var failed error
	text := func(name string) string {
		b, err := m.Read(name)
		failed = errors.Join(failed, err)
		return string(b)
	}
	// What an earlier preparation brought is no evidence.
	ours := map[string]bool{}
	for _, w := range record {
		ours[w.Path] = w.Before == nil
	}
	r := bootfiles.Recognise(func(name string) bool {
		b, err := m.Read(name)
		failed = errors.Join(failed, err)
		return b != nil && !ours[name]
	}, text("config.txt"), text("cmdline.txt"))
	if failed != nil {
		return r, failed
	}
	state, _, err := record.Where(m.Read)
	if r.Hook == bootfiles.CloudInit && state == bootfiles.Booted {
		r.Hook, r.Why = bootfiles.FirstRun, "cloud-init has had its one run on this card"
	}
	return r, err
}

// cloudFiles adds what cloud-init needs besides, and looks whether its files are free.
func cloudFiles(m medium.Medium, replace bool, boot *bootfiles.Options) error {
	for _, f := range boot.Files {
		if f.Path != "user-data" && f.Path != bootfiles.NetworkConfig {
			continue
		}
		now, err := m.Read(f.Path)
		if err != nil {
			return err
		}
		if bootfiles.Theirs(now) && !replace {
			return usageError{fmt.Errorf("%s has contents of its own, maybe from another tool that prepares cards: --replace puts ours in its place (`provision card undo` gives it back), or flash the card without settings", f.Path)}
		}
	}
	meta, err := m.Read("meta-data")
	if err != nil || meta != nil && !strings.Contains(string(meta), bootfiles.Mark) {
		return err
	}
	boot.Files = append(boot.Files, bootfiles.File{Path: "meta-data", Data: []byte(bootfiles.Mark + "\ninstance-id: provision-card\n")})
	return nil
}

// setup makes of the flags what the first boot should do; the second result is the program's name.
func (o cardOptions) setup(ctx context.Context, g *globals, stdin io.Reader, m medium.Medium, r bootfiles.Release) (bootfiles.Setup, string, error) {
	s := bootfiles.Setup{Hostname: strings.ToLower(o.hostname), User: o.user, SSH: o.ssh || len(o.keys) > 0, OldNames: o.oldNames, Country: strings.ToUpper(o.network.Country)}
	if o.password == "-" && o.passphrase == "-" {
		return s, "", usageError{errors.New("--password-file and --wifi-passphrase-file cannot both be standard input")}
	}
	if o.user == "" && o.password != "" {
		return s, "", usageError{errors.New("--password-file is for the --user")}
	}
	name, program, err := cardProgram(o.program, o.board, m.Read)
	if err != nil {
		return s, "", err
	}
	s.Program = program
	if err := o.units(g.config, &s); err != nil {
		return s, "", err
	}
	for _, file := range o.keys {
		data, err := os.ReadFile(file)
		if err != nil {
			return s, "", usageError{fmt.Errorf("cannot read the SSH key: %w", err)}
		}
		text, err := plainText(string(data))
		lines := strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n") + "\n"
		if err == nil {
			err = bootfiles.CheckKeys(lines)
		}
		if err != nil {
			return s, "", usageError{fmt.Errorf("%s: %w", file, err)}
		}
		s.Keys += lines
	}
	s.Hash = "*"
	if o.user != "" && (o.password != "" || len(o.keys) == 0) {
		if s.Hash, err = o.hash(ctx, g, stdin, m); err != nil {
			return s, "", err
		}
	}
	early := s
	if early.Wifi.Data = nil; o.network.SSID != "" {
		early.Wifi.Data = []byte{}
	}
	err = early.Check() // before a further secret is asked for
	if err == nil && s.Country != "" {
		err = wifi.CheckCountry(s.Country)
	}
	if err != nil {
		return s, "", usageError{err}
	}
	if s.Wifi, err = o.wifi(ctx, g, stdin, r); err != nil {
		return s, "", err
	}
	return s, name, nil
}

// units are the configuration of the card and the units that have something to do by it.
func (o cardOptions) units(name string, s *bootfiles.Setup) error {
	from := "the built-in configuration"
	switch {
	case name != "":
		text, err := os.ReadFile(name)
		if err != nil {
			return usageError{fmt.Errorf("cannot read the configuration: %w", err)}
		}
		from, s.Config = name, text
	case !o.noGadget:
		s.Config = []byte(cardConfig)
	}
	s.Units = []bootfiles.Unit{{Name: "provision-recover.service", Text: recoverUnit}}
	if s.Config == nil {
		return nil
	}
	c, err := agent.Parse(from, s.Config)
	if err != nil {
		return err
	}
	if !o.noGadget {
		if c.Gadget.Profile == "" {
			return usageError{fmt.Errorf("%s names no gadget: give it a profile under `gadget`, or leave the USB port as it is with --no-gadget", from)}
		}
		s.Units = append(s.Units, bootfiles.Unit{Name: "provision-gadget.service", Text: gadgetUnit})
	}
	if !o.noGadget || len(c.Serve.Links) > 0 {
		s.Units = append(s.Units, bootfiles.Unit{Name: "provision-serve.service", Text: serveUnit})
	}
	return nil
}

// hash is that of the user's password; one on the card that fits is kept, so that nothing changes.
func (o cardOptions) hash(ctx context.Context, g *globals, stdin io.Reader, m medium.Medium) (string, error) {
	password, err := cardSecret(ctx, stdin, g.prompt(), o.password, "password", "--password-file", o.user)
	if err != nil {
		return "", err
	}
	for _, form := range []string{"$6$", "$5$", "$y$", "$2b$", "$gy$"} { // crypt(5)
		if strings.HasPrefix(password, form) && strings.Count(password, "$") >= 3 {
			return password, nil
		}
	}
	if strings.ContainsAny(password, "\x00") {
		return "", usageError{errors.New("the password has a zero byte, which nobody can type")}
	}
	have, err := m.Read(bootfiles.Folder + "/account")
	if err != nil {
		return "", err
	}
	if _, old, ok := strings.Cut(strings.TrimSpace(string(have)), ":"); ok && shacrypt.Verify(old, password) {
		return old, nil
	}
	return shacrypt.Hash(password, rand.Reader)
}

// wifi is the network's file for what is on the card.
func (o cardOptions) wifi(ctx context.Context, g *globals, stdin io.Reader, r bootfiles.Release) (bootfiles.File, error) {
	n := o.network
	if n.SSID == "" {
		if o.passphrase != "" || o.open || o.wpa3 || n.Hidden {
			return bootfiles.File{}, usageError{errors.New("which network? --wifi names it")}
		}
		return bootfiles.File{}, nil
	}
	n.Country = strings.ToUpper(n.Country)
	switch {
	case o.open && (o.wpa3 || o.passphrase != ""):
		return bootfiles.File{}, usageError{errors.New("--wifi-open is for networks without a passphrase")}
	case o.open:
		n.Security = wifi.Open
	default:
		secret, err := cardSecret(ctx, stdin, g.prompt(), o.passphrase, "passphrase", "--wifi-passphrase-file", wifi.Show(n.SSID))
		if err != nil {
			return bootfiles.File{}, err
		}
		if err := wifi.CheckPassphrase(secret); err != nil {
			return bootfiles.File{}, usageError{err}
		}
		if n.Security = wifi.SAE; o.wpa3 {
			n.Passphrase = secret
		} else if n.Security = wifi.PSK; true {
			if n.Key, err = wifi.DeriveKey(secret, n.SSID); err != nil {
				return bootfiles.File{}, err
			}
		}
	}
	var (
		f    bootfiles.File
		text string
		err  error
	)
	switch {
	case r.Hook == bootfiles.CloudInit:
		f.Path = bootfiles.NetworkConfig
		text, err = wifi.NetworkConfig(n, "wlan0", bootfiles.Mark)
	case r.Dir == "/boot":
		f.Path, text, err = wifi.Supplicant(n)
	default:
		f.Path, text, err = wifi.Profile(n, "wlan0")
	}
	if err != nil {
		return f, usageError{err}
	}
	f.Data = []byte(text)
	return f, nil
}

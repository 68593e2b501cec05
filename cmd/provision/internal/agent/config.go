// Package agent puts the wings together: it reads the configuration, gathers the
// facts, asks the planners what should exist and hands the union to the engine.
package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/strict"
	"github.com/provision-net/provision/dnsdhcp"
	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/routing"
)

// Config is the whole configuration file; each wing owns its slice.
type Config struct {
	// Version of the format; 1 is the only one so far.
	Version int `yaml:"version" help:"version of this file's format, always 1"`
	// Network is for the NICs that network managers own.
	Network backends.Config `yaml:"network" help:"NICs under netplan, NetworkManager, ifupdown, networkd or dhcpcd"`
	// Serve is for the links on which clients are served.
	Serve dnsdhcp.Config `yaml:"serve" help:"DHCP, DNS and router advertisements that this machine serves, by provision serve"`
	// Gadget is for the USB side of a machine that is plugged into another one.
	Gadget gadget.Config `yaml:"gadget" help:"what this machine is to the host that its USB device port is plugged into: network card, serial port, disk; without this nothing"`
	// Routing is for what passes through this machine.
	Routing routing.Config `yaml:"routing" help:"forwarding, firewall, kill switch and what provision watch keeps"`
}

// DefaultPath is where the configuration is looked for first.
const DefaultPath = "/etc/provision/provision.yaml"

// bootPaths are the same file on the boot partition of a card that was prepared
// on another machine; Raspberry Pi OS mounts it at the first since bookworm.
var bootPaths = []string{"/boot/firmware/provision.yaml", "/boot/provision.yaml"}

// UsageError is an error that is the command line's (exit status 64).
type UsageError struct{ Err error }

// Error is that of what is wrapped.
func (e UsageError) Error() string { return e.Err.Error() }

// ErrConfig marks an error that is the configuration's (exit status 64).
var ErrConfig = errors.New("configuration refused")

// Source is where a configuration came from.
type Source struct {
	Path    string // empty: built-in defaults
	BuiltIn bool
	// Boot: the file lies on a boot partition, which any computer can write; it
	// can never name commands to run.
	Boot bool
}

// String names the source for messages.
func (s Source) String() string {
	if s.BuiltIn {
		return "built-in defaults"
	}
	return s.Path
}

// Load reads the configuration from path, or from the default places under root
// when path is empty. All problems come back together, as strict.Problems wrapped
// with ErrConfig.
func Load(root, path string) (Config, Source, error) {
	if path != "" {
		c, s, err := load(path, path, false)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", ErrConfig, err)
		}
		return c, s, err
	}
	candidates := append([]string{DefaultPath}, bootPaths...)
	for i, p := range candidates {
		c, s, err := load(filepath.Join(root, p), p, i > 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return c, s, err
	}
	return Config{Version: 1}, Source{BuiltIn: true}, nil
}

func load(file, name string, boot bool) (Config, Source, error) {
	src := Source{Path: name, Boot: boot}
	text, err := readBounded(file, strict.MaxBytes+1)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, src, fmt.Errorf("cannot read the configuration: %w", err)
	}
	if err != nil {
		return Config{}, src, fmt.Errorf("%w: cannot read %s: %w", ErrConfig, name, err)
	}
	if !boot {
		if err := trusted(file); err != nil {
			return Config{}, src, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	c, err := Parse(name, text)
	switch {
	case err == nil && boot:
		err = harmless(name, c)
	case err == nil:
		err = secretly(file, name, c)
	}
	return c, src, err
}

// harmless refuses commands in a file that any computer could have written.
func harmless(name string, c Config) error {
	for i, r := range c.Routing.Watch.Reactions {
		if len(r.Run) > 0 {
			return fmt.Errorf("%w: %s: routing.watch.reactions[%d].run: a file on a boot partition can never name commands; move it to %s", ErrConfig, name, i, DefaultPath)
		}
	}
	return nil
}

// secretly refuses keys in a file that others may read: who has read one can be this machine.
func secretly(file, name string, c Config) error {
	at := c.Routing.WireGuard.Inline()
	if at == "" || runtime.GOOS == "windows" {
		return nil
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	return fmt.Errorf("%w: %s: routing.wireguard.%s: others may read this key (mode %04o): chmod 600 %s, or put it into a file of its own (%s-file), and make a new one if somebody could have read it",
		ErrConfig, name, at, info.Mode().Perm(), name, at[strings.LastIndexByte(at, '.')+1:])
}

// Parse reads a configuration from text; name stands in messages.
func Parse(name string, text []byte) (Config, error) {
	var c Config
	var problems strict.Problems
	doc, err := strict.Decode(name, text, &c)
	if err != nil && (!errors.As(err, &problems) || !doc.Rest(&c)) {
		return Config{}, fmt.Errorf("%w:\n%w", ErrConfig, err)
	}
	// What was wrong is missing from c: nothing more can be said about its surroundings.
	wrong := slices.Clone(problems)
	add := func(path, text string) {
		if !slices.ContainsFunc(wrong, func(p strict.Problem) bool { return near(p.Path, path) }) {
			problems = append(problems, doc.At(path, text))
		}
	}
	switch {
	case c.Version == 0:
		add("version", `missing: the first line should be "version: 1"`)
	case c.Version < 0:
		add("version", fmt.Sprintf("%d is no version: it should be 1", c.Version))
	case c.Version > 1:
		add("version", fmt.Sprintf("%d is newer than this program, which knows 1: upgrade provision", c.Version))
	}
	for _, p := range c.Network.Problems() {
		add("network."+p.Path, p.Text)
	}
	for _, p := range c.Serve.Problems() {
		add("serve."+p.Path, p.Text)
	}
	for _, p := range c.Gadget.Problems() {
		add("gadget."+p.Path, p.Text)
	}
	for _, p := range c.Routing.Problems() {
		add("routing."+p.Path, p.Text)
	}
	if len(problems) > 0 {
		sort.SliceStable(problems, func(i, j int) bool {
			a, b := problems[i], problems[j]
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) < 0
		})
		return Config{}, fmt.Errorf("%w:\n%w", ErrConfig, problems)
	}
	return c, nil
}

// near reports whether what is wrong at a, perhaps the whole file, touches b: the same
// key, or the same list entry.
func near(a, b string) bool {
	entry := func(p string) string {
		if i := strings.IndexByte(p, ']'); i >= 0 {
			return p[:i]
		}
		return p
	}
	return a == "" || a == b || strings.ContainsRune(a, ']') && entry(a) == entry(b)
}

// readBounded reads a regular file of at most limit bytes; a FIFO or a device
// in its place must not block or flood us.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

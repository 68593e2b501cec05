package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

//go:embed cloud-init.sh
var cloudInitScript string

// cloudInit says where a new machine gets provision from, and what it does then.
type cloudInit struct {
	url, sum string // of a program or package
	file     string // of the image
	embed    string // of this machine
	limit    time.Duration
	seed     string
}

func newHookCloudInit(g *globals) *cobra.Command {
	var o cloudInit
	c := &cobra.Command{
		Use:   "cloud-init",
		Short: "Print user-data that installs provision at the first boot and runs it in the right stage",
		Long: `Print user-data for cloud-init, or write a whole NoCloud seed. It runs 'provision apply' once for each instance, when
the boot is done and under a time limit; how that went is in 'cloud-init status --long' and
/var/lib/provision/cloud-init.json. --config FILE goes along and becomes ` + agent.DefaultPath + `.

The program comes from --url, --file or --embed: a .deb, .rpm or .apk is installed as a package, anything else is taken
for the program. With none of them the image has it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runHookCloudInit(g, o) },
	}
	f := c.Flags()
	g.ownConfig(c, "configuration `file` of the new machine (default: none)")
	f.StringVar(&o.url, "url", "", "`URL` (http or https) that the new machine fetches; needs --sha256")
	f.StringVar(&o.sum, "sha256", "", "SHA-256 `sum` of what --url or --file names")
	f.StringVar(&o.file, "file", "", "`path` in the image")
	f.StringVar(&o.embed, "embed", "", "`file` of this machine that goes along in base64; one that ends in .gz is unpacked")
	f.DurationVar(&o.limit, "time-limit", 5*time.Minute, "`time` after which it is ended; cloud-init itself would wait for ever")
	f.StringVar(&o.seed, "seed", "", "write meta-data, user-data and network-config into `dir`")
	return c
}

func runHookCloudInit(g *globals, o cloudInit) error {
	if err := o.check(); err != nil {
		return usageError{err}
	}
	config, text, err := g.configText()
	if err != nil {
		return err
	}
	var payload []byte
	if o.embed != "" {
		if payload, err = os.ReadFile(o.embed); err != nil {
			return usageError{fmt.Errorf("cannot read what --embed names: %w", err)}
		}
	}
	data, err := userData(o, text, payload)
	if err != nil {
		return err
	}
	if o.seed == "" {
		_, err = g.results().Write(data)
		return err
	}
	return writeSeed(g, o.seed, data, config)
}

// configText is the file of --config, checked, and as it stands there; without --config it is nothing.
func (g *globals) configText() (agent.Config, string, error) {
	if g.config == "" {
		return agent.Config{}, "", nil
	}
	config, _, err := agent.Load("/", g.config)
	if err != nil {
		return config, "", err
	}
	data, err := os.ReadFile(g.config)
	if err != nil {
		return config, "", err
	}
	text, err := plainText(string(data))
	if err != nil {
		err = fmt.Errorf("%s: %w", g.config, err)
	}
	return config, text, err
}

// check finds what is wrong with the flags.
func (o cloudInit) check() error {
	given := 0
	for _, s := range []string{o.url, o.file, o.embed} {
		if s != "" {
			given++
		}
	}
	sum, err := hex.DecodeString(o.sum)
	scheme, rest, _ := strings.Cut(o.url, "://")
	switch {
	case given > 1:
		return errors.New("the program comes from one place: --url, --file or --embed")
	case o.url != "" && (scheme != "http" && scheme != "https" || path.Base(rest) == rest || strings.ContainsAny(o.url, " \t\n?#") || strings.HasSuffix(o.url, "/")):
		return fmt.Errorf("--url %q is not the http or https address of a file", o.url)
	case o.url != "" && o.sum == "":
		return errors.New("--url needs --sha256: what is fetched runs as root (sha256sum FILE prints it)")
	case o.sum != "" && (err != nil || len(sum) != sha256.Size):
		return fmt.Errorf("--sha256 %q is not the 64 hexadecimal digits that sha256sum prints", o.sum)
	case o.sum != "" && o.url == "" && o.file == "":
		return errors.New("--sha256 belongs to --url or --file")
	case o.file != "" && !path.IsAbs(o.file):
		return fmt.Errorf("--file %q is not an absolute path of the image", o.file)
	case o.limit < time.Second:
		return fmt.Errorf("--time-limit %s leaves no time", o.limit)
	}
	return nil
}

// writeFile is an entry of cloud-init's write_files.
type writeFile struct {
	Path        string `yaml:"path"`
	Permissions string `yaml:"permissions"`
	Content     string `yaml:"content"`
}

const (
	seedMark = "# Made by `provision hook cloud-init`.\n"
	// payloadDir is where a script of the user-data puts what came along; the one that installs it takes it away.
	payloadDir = "/var/cache/provision-cloud-init"
)

// userData is cloud-config with write_files, done when the network is up, and runcmd, done when the boot is (cloud-init's stages
// network and final). Never bootcmd or a boothook: without D-Bus, an apply there leaves old routes beside the new on systemd 252.
// Units of cloud-init have no time limit, so the command has its own.
func userData(o cloudInit, config string, payload []byte) ([]byte, error) {
	var doc struct {
		WriteFiles []writeFile `yaml:"write_files,omitempty"`
		RunCmd     [][]string  `yaml:"runcmd"`
	}
	if config != "" {
		doc.WriteFiles = []writeFile{{agent.DefaultPath, "0600", config}}
	}
	way, from, unpack := "image", "", ""
	switch {
	case o.url != "":
		way, from = "url", o.url
	case o.file != "":
		way, from = "file", o.file
	case payload != nil:
		name, packed := strings.CutSuffix(filepath.Base(o.embed), ".gz")
		way, from = "file", payloadDir+"/"+name
		if packed {
			unpack = " | gunzip"
		}
	}
	seconds := fmt.Sprintf("%d", int(o.limit.Seconds()))
	doc.RunCmd = [][]string{{"timeout", "-k", "10", seconds, "sh", "-c", cloudInitScript, "provision", way, from, strings.ToLower(o.sum)}}
	text, err := yaml.Marshal(doc)
	text = append([]byte("#cloud-config\n"+seedMark), text...)
	if payload == nil || err != nil {
		return text, err
	}
	// Base64 in write_files would be read as YAML, by Python, in every stage: 8 MB of it take minutes. A script is not looked at,
	// and runs before runcmd does (by name: part-002, runcmd).
	return fmt.Appendf(nil, `Content-Type: multipart/mixed; boundary="=provision="
MIME-Version: 1.0

--=provision=
Content-Type: text/cloud-config

%s
--=provision=
Content-Type: text/x-shellscript

#!/bin/sh
mkdir -p %[2]s
base64 -d <<'END'%[3]s > %[4]s
%[5]s
END
--=provision=--
`, text, payloadDir, unpack, shellQuote(from), base64.StdEncoding.EncodeToString(payload)), nil
}

// shellQuote makes one word of s for sh(1).
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// networkConfig has DHCP on the NICs that the configuration calls by name, or on all that are Ethernet by their name
// (cloud-init, network configuration version 2).
func networkConfig(c agent.Config) string {
	var b strings.Builder
	b.WriteString(seedMark + "version: 2\nethernets:\n")
	named := false
	for _, n := range c.Network.NICs {
		if n.Match.Name != "" && !strings.ContainsAny(n.Match.Name, `*?[\`) {
			fmt.Fprintf(&b, "  %s: {dhcp4: true, dhcp6: true}\n", n.Match.Name)
			named = true
		}
	}
	if !named {
		b.WriteString("  all-ethernet: {match: {name: \"e*\"}, dhcp4: true, dhcp6: true}\n")
	}
	return b.String()
}

// writeSeed writes a NoCloud seed. Files of somebody else are not touched.
func writeSeed(g *globals, dir string, data []byte, c agent.Config) error {
	network := networkConfig(c)
	// Other data is another instance: cloud-init does it all again.
	sum := sha256.Sum256([]byte(string(data) + network))
	files := []struct{ name, text string }{
		{"meta-data", seedMark + "instance-id: provision-" + hex.EncodeToString(sum[:6]) + "\n"},
		{"user-data", string(data)},
		{"network-config", network},
	}
	for _, f := range files {
		old, err := os.ReadFile(filepath.Join(dir, f.name))
		if err == nil && !strings.Contains(string(old), seedMark) {
			return fmt.Errorf("%s is not from this command: remove it, or name another folder", filepath.Join(dir, f.name))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the seed: %w", err)
	}
	for _, f := range files {
		// The configuration in user-data may hold keys.
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o600); err != nil {
			return fmt.Errorf("cannot write the seed: %w", err)
		}
	}
	return g.emitLine("%s: meta-data, user-data, network-config", dir)
}

package main

import (
	"bytes"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"
)

// ansiblePlay says which machines a play is for, and where they get provision from.
type ansiblePlay struct {
	hosts   string
	program string // of the controller; "" where a package brings it
}

func newHookAnsible(g *globals) *cobra.Command {
	o := ansiblePlay{hosts: "all"}
	c := &cobra.Command{
		Use:   "ansible",
		Short: "Print a play for Ansible that brings a configuration to each machine and applies it",
		Long: `Print a play that uses the role 'provision', with the configuration of --config FILE in it. It needs no inventory:
  provision hook ansible --config FILE --program dist > play.yml
  ansible-playbook -i HOST, --check --diff play.yml    # what would change, and nothing does
  ansible-playbook -i HOST, play.yml

Ansible finds the role in roles/ beside the play, or by ANSIBLE_ROLES_PATH. Without --program a package has brought the
program to the machines. Without --config each keeps the configuration that it has.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, config, err := g.configText()
			if err != nil {
				return err
			}
			play, err := o.text(config)
			if err != nil {
				return err
			}
			_, err = g.results().Write(play)
			return err
		},
	}
	f := c.Flags()
	g.ownConfig(c, "configuration `file` of the machines (default: none)")
	f.StringVar(&o.hosts, "hosts", o.hosts, "`pattern` of the machines, as Ansible's inventory knows them")
	f.StringVar(&o.program, "program", "", "`path` on the controller: the program, or a folder with provision-linux-ARCH")
	return c
}

// text is a list of one play. Ansible takes the text of a variable for a template, unless its YAML tag says !unsafe: braces of the
// configuration are its own.
func (o ansiblePlay) text(config string) ([]byte, error) {
	type role struct {
		Role    string     `yaml:"role"`
		Program string     `yaml:"provision_program,omitempty"`
		Path    string     `yaml:"provision_path,omitempty"`
		Config  *yaml.Node `yaml:"provision_config,omitempty"`
	}
	r := role{Role: "provision", Program: o.program}
	if o.program == "" {
		r.Path = "/usr/bin/provision"
	}
	if config != "" {
		r.Config = &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.LiteralStyle, Value: config}
		if strings.TrimSpace(config[:1]) == "" || strings.Contains(config, "\r") { // a block cannot hold those as they stand
			r.Config.Style = yaml.DoubleQuotedStyle
		}
		if strings.Contains(config, "{{") || strings.Contains(config, "{%") || strings.Contains(config, "{#") {
			r.Config.Tag, r.Config.Style = "!unsafe", r.Config.Style|yaml.TaggedStyle
		}
	}
	play := []struct {
		Hosts  string `yaml:"hosts"`
		Become bool   `yaml:"become"`
		Roles  []role `yaml:"roles"`
	}{{o.hosts, true, []role{r}}}
	out := bytes.NewBufferString("# Made by `provision hook ansible`.\n")
	e := yaml.NewEncoder(out)
	e.SetIndent(2)
	if err := e.Encode(play); err != nil {
		return nil, err
	}
	return out.Bytes(), e.Close()
}

// Package walk reads what a page of the guide asks its reader to do, and knows which test does it. So no page says of a command
// what nobody has tried.
package walk

import (
	"regexp"
	"strings"
)

// Step is one thing that a page asks for: a command line, or a whole configuration that is put in place.
type Step struct {
	Line            int // of the page, from 1
	Command, Config string
}

var (
	// indented is a command in a block that is indented instead of fenced.
	indented = regexp.MustCompile(`^ {4}((?:sudo |provision |install |make |gem |vagrant |cd ).*)$`)
	remark   = regexp.MustCompile(`\s+# .*$`)
)

// Steps are those of a page, in its order. Commands stand in blocks of the kinds sh and console, and indented by four; in the
// second kind only what follows a prompt is one. A YAML block that begins with the version is a configuration; another one is a
// part, which a reader puts into what they have.
func Steps(page string) []Step {
	var out []Step
	kind, text, start, depth := "", "", 0, 0
	for i, line := range strings.Split(page, "\n") {
		bare := strings.TrimLeft(line, " ")
		fence, marks := strings.CutPrefix(bare, "```")
		switch {
		case start == 0 && marks:
			kind, text, start, depth = fence, "", i+2, len(line)-len(bare)
		case start == 0:
			if m := indented.FindStringSubmatch(line); m != nil {
				out = append(out, Step{Line: i + 1, Command: remark.ReplaceAllString(m[1], "")})
			}
		case marks:
			if kind == "yaml" && strings.HasPrefix(text, "version: ") {
				out = append(out, Step{Line: start, Config: text})
			}
			start = 0
		case kind == "sh", kind == "console" && strings.HasPrefix(bare, "$ "):
			if command := remark.ReplaceAllString(strings.TrimPrefix(bare, "$ "), ""); command != "" && !strings.HasPrefix(command, "#") {
				out = append(out, Step{Line: i + 1, Command: command})
			}
		default:
			text += strings.TrimPrefix(line, strings.Repeat(" ", min(depth, len(line)-len(bare)))) + "\n"
		}
	}
	return out
}

// Commands are those of the steps.
func Commands(steps []Step) []string {
	var out []string
	for _, s := range steps {
		if s.Command != "" {
			out = append(out, s.Command)
		}
	}
	return out
}

var loose = regexp.MustCompile(`^ *(?:sudo|provision|curl) `)

// Loose are the commands of a page in blocks of text: what a reader completes before it can be run, such as a host or a version.
func Loose(page string) []string {
	var out []string
	kind := ""
	for line := range strings.Lines(page) {
		if fence, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
			if kind == "" {
				kind = "block of " + fence
			} else {
				kind = ""
			}
			continue
		}
		if kind == "block of text" && loose.MatchString(line) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// Walker is a test that does what a page says.
type Walker struct{ Page, Test string }

// Walkers are those of the README and of all pages below docs with commands. Those of TestWalks are walked in the lab.
func Walkers() []Walker {
	return []Walker{
		{"../README.md", "TestWalks"},
		{"ansible.md", "TestAnsiblePage"},
		{"baking.md", "TestBaked"},
		{"cloud-init.md", "TestCloudInitPage"},
		{"commands.md", "TestWalks"},
		{"detection.md", "TestWalks"},
		{"dhcp.md", "TestWalks"},
		{"dhcpcd.md", "TestWalks"},
		{"dns.md", "TestWalks"},
		{"explain.md", "TestWalks"},
		{"firewall.md", "TestWalks"},
		{"gadget.md", "TestWalks"},
		{"ifupdown.md", "TestWalks"},
		{"install.md", "TestWalks"}, // and TestInstallScript, TestSystemExtensionBoots
		{"kill-switch.md", "TestWalks"},
		{"kubernetes.md", "TestWalks"},
		{"netplan.md", "TestWalks"},
		{"networkd.md", "TestWalks"},
		{"networkmanager.md", "TestWalks"},
		{"overlay.md", "TestWalks"},
		{"quickstart.md", "TestWalks"},
		{"recovery.md", "TestWalks"},
		{"router.md", "TestWalks"},
		{"sd-card-flash.md", "TestWalks"},
		{"sd-card.md", "TestCardPage"},
		{"smart-routing.md", "TestWalks"},
		{"tunnel.md", "TestWalks"},
		{"vagrant.md", "TestPage"},
		{"virtualbox.md", "TestHostPage"},
		{"wireguard.md", "TestWalks"},
	}
}

package main

import (
	"fmt"
	"regexp"
	"strings"
)

// page is what the help of one command says.
type page struct {
	words   []string // the command line so far: provision, wireguard, add
	short   string   // what the parent's list says of it; empty for the program itself
	long    []string // lines of the description
	status  []string // lines of the paragraph about exit statuses
	usage   []string
	options [2][]option // its own, and those of all commands
	below   []entry
}

// option is a flag as cobra prints it.
type option struct{ names, value, text string }

// entry is a subcommand in a list.
type entry struct{ name, short string }

// name is the page's, as of git and its commands: provision-wireguard-add.
func (p page) name() string { return strings.Join(p.words, "-") }

var (
	optionLine = regexp.MustCompile(`^ +((?:-\w, )?--[\w-]+)(?: (\S.*?))?(?: {2,}(.*))?$`)
	entryLine  = regexp.MustCompile(`^  (\S+) +(.*)$`)
)

// pages reads the help of a command and of all below it.
func pages(ask func([]string) (string, error), words []string, short string) ([]page, error) {
	text, err := ask(words)
	if err != nil {
		return nil, err
	}
	p, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("the help of %q: %w", strings.Join(words, " "), err)
	}
	p.words, p.short = words, short
	all := []page{p}
	for _, e := range p.below {
		more, err := pages(ask, append(words[:len(words):len(words)], e.name), e.short)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// parse reads what cobra prints (its default usage template). A line that fits nowhere is an error: a page that
// silently lacks something would be worse than none.
func parse(text string) (page, error) {
	var p page
	section := ""
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		switch line {
		case "Usage:", "Available Commands:", "Flags:", "Global Flags:":
			section = line
			continue
		}
		switch {
		case section == "":
			p.long = append(p.long, line)
		case line == "", strings.HasPrefix(line, `Use "`):
		case section == "Usage:":
			p.usage = append(p.usage, strings.TrimSpace(line))
		case section == "Available Commands:":
			m := entryLine.FindStringSubmatch(line)
			if m == nil {
				return p, fmt.Errorf("no command in the line %q", line)
			}
			if m[1] != "help" { // every page says it all
				p.below = append(p.below, entry{m[1], m[2]})
			}
		default:
			m := optionLine.FindStringSubmatch(line)
			if m == nil {
				return p, fmt.Errorf("no flag in the line %q", line)
			}
			i := 0
			if section == "Global Flags:" {
				i = 1
			}
			p.options[i] = append(p.options[i], option{m[1], m[2], m[3]})
		}
	}
	if len(p.usage) == 0 {
		return p, fmt.Errorf("it has no usage")
	}
	p.long = trimBlank(p.long)
	for i, line := range p.long {
		if strings.HasPrefix(line, "Exit status:") {
			p.status = p.long[i:]
			p.long = trimBlank(p.long[:i])
			break
		}
	}
	return p, nil
}

func trimBlank(lines []string) []string {
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

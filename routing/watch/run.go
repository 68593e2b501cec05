package watch

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// Bounds of what a procedure may list and print.
const (
	mostItems  = 64
	mostOutput = 2000
)

// run carries out a command or a small procedure and returns the end of what it printed.
func run(ctx context.Context, r Runner, p Run) (string, error) {
	var out bytes.Buffer
	step := func(argv []string) ([]byte, error) {
		text, err := r.Run(ctx, argv, p)
		out.Write(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
		}
		return text, nil
	}
	if p.List == nil {
		_, err := step(p.Command)
		return tail(out.String()), err
	}
	listed, err := step(p.List)
	if err != nil {
		return tail(out.String()), err
	}
	items := strings.Fields(string(listed))
	if len(items) > mostItems {
		return tail(out.String()), fmt.Errorf("%s: it lists %d, more than %d", strings.Join(p.List, " "), len(items), mostItems)
	}
	for _, item := range items {
		if !plain(item) {
			return tail(out.String()), fmt.Errorf("%s: it lists %q, which is no identifier", strings.Join(p.List, " "), item)
		}
		for _, argv := range p.Each {
			filled := make([]string, len(argv))
			for i, a := range argv {
				filled[i] = strings.ReplaceAll(a, "{}", item)
			}
			if _, err := step(filled); err != nil {
				return tail(out.String()), err
			}
		}
	}
	return tail(out.String()), nil
}

// plain reports whether a text can be nothing but an identifier: no option, no path.
func plain(s string) bool {
	return s != "" && len(s) <= 128 && s[0] != '-' && s[0] != '.' && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
}

func tail(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "?"))
	if len(s) > mostOutput {
		s = "... " + strings.ToValidUTF8(s[len(s)-mostOutput:], "")
	}
	return s
}

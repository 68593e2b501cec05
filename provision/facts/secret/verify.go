package secret

import (
	"bytes"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
)

// secretKey matches a whole YAML key whose value is secret.
var secretKey = pattern(`(?i)(?:` + words + `)|^(?:` + exact + `)$`)

// verify asks a YAML parser what the secrets of the original are, escapes, aliases
// and line folding resolved, and makes sure that none of them is left. What does
// not parse cannot be verified: there the lines had to do.
func verify(original, masked string) bool {
	d := yaml.NewDecoder(bytes.NewReader([]byte(original)))
	for range 100 {
		var doc yaml.Node
		if err := d.Decode(&doc); err != nil {
			return err == io.EOF || strings.Count(original, "&") == 0 && !strings.Contains(original, `\`)
		}
		ok := true
		scalars(&doc, false, 0, func(v string) {
			for line := range strings.Lines(v) {
				line = strings.TrimSpace(line)
				// Short words say nothing and stand in every file.
				if len(line) >= 4 && !harmless().MatchString(line) && strings.Contains(masked, line) {
					ok = false
				}
			}
		})
		if !ok {
			return false
		}
	}
	return true
}

// scalars calls each for the scalars below secret keys.
func scalars(n *yaml.Node, secret bool, depth int, each func(string)) {
	if depth > 100 {
		return
	}
	switch n.Kind {
	case yaml.AliasNode:
		if secret && n.Alias != nil {
			scalars(n.Alias, true, depth+1, each)
		}
	case yaml.ScalarNode:
		if secret {
			each(n.Value)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			scalars(n.Content[i+1], secret || secretKey().MatchString(n.Content[i].Value), depth+1, each)
		}
	default:
		for _, c := range n.Content {
			scalars(c, secret, depth+1, each)
		}
	}
}

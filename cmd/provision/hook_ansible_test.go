package main

import (
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// The play is YAML that has the configuration as it stands in its file, and braces in it are no template.
func TestHookAnsible(t *testing.T) {
	for name, config := range map[string]string{
		"plain":   "version: 1\n\n# äöü: \"quoted\"\nnetwork: {nat-metric: 1500}\n",
		"braces":  "version: 1\n# {{ lookup('pipe', 'id') }}\nnetwork: {nat-metric: 1500}\n",
		"blanks":  "version: 1   \n#\ttab \n\n\n",
		"indents": "\n  version: 1\n  network: {nat-metric: 1400}",
		"CRLF":    "version: 1\r\nnetwork: {nat-metric: 1400}\r\n# {{\r\n",
	} {
		for _, program := range []string{"", "it's: dist"} {
			args := []string{"hook", "ansible", "--hosts", "routers:!old", "--config", write(t, "provision.yaml", config)}
			if program != "" {
				args = append(args, "--program", program)
			}
			code, out, errs := call(t, args...)
			var plays []struct {
				Hosts  string
				Become bool
				Roles  []map[string]yaml.Node
			}
			if err := yaml.Unmarshal([]byte(out), &plays); code != 0 || err != nil || len(plays) != 1 || len(plays[0].Roles) != 1 {
				t.Fatalf("%s: status %d, %v: %s\n%s", name, code, err, errs, out)
			}
			p := plays[0]
			r := p.Roles[0]
			if p.Hosts != "routers:!old" || !p.Become || r["role"].Value != "provision" || r["provision_program"].Value != program || r["provision_config"].Value != config {
				t.Errorf("%s: %q is not %q\n%s", name, r["provision_config"].Value, config, out)
			}
			if (r["provision_path"].Value == "/usr/bin/provision") != (program == "") {
				t.Errorf("%s: the program is at %q", name, r["provision_path"].Value)
			}
			if (r["provision_config"].Tag == "!unsafe") != strings.Contains(config, "{{") {
				t.Errorf("%s: tagged %q", name, r["provision_config"].Tag)
			}
		}
	}
	if code, out, errs := call(t, "hook", "ansible", "--config", write(t, "bad.yaml", "version: 1\nnetwrok: {}\n")); code != exitUsage || out != "" || !strings.Contains(errs, "bad.yaml:2") {
		t.Errorf("a configuration that is not valid: status %d, %s%s", code, out, errs)
	}
	if code, out, _ := call(t, "hook", "ansible"); code != 0 || strings.Contains(out, "provision_config") {
		t.Errorf("without a configuration: status %d\n%s", code, out)
	}
}

package facts

import (
	"path"
	"strings"

	"gopkg.in/yaml.v3"
)

// cloudInit says whether cloud-init renders the network configuration, from which
// datasource, and when it does so again.
func (r *gathering) cloudInit(un units, ps processes) {
	c := &r.f.CloudInit
	c.Installed = r.firstOf("/usr/bin/cloud-init", "/usr/local/bin/cloud-init") != ""
	if !c.Installed {
		return
	}
	line := bootNetwork{}
	if !r.offline && r.f.Machine.Container == "" {
		line = parseCmdline(r.quiet("/proc/cmdline", maxState))
	}
	// The marker, the kernel command line, and what the generator decided at boot.
	c.Disabled = r.t.Exists("/etc/cloud/cloud-init.disabled") || line.cloudOff
	if !r.offline && !c.Disabled && r.f.Machine.Init == "systemd" && r.t.Exists("/run/cloud-init/disabled") && !r.t.Exists("/run/cloud-init/enabled") {
		c.Disabled = true
	}
	c.Datasource = r.datasource()
	cfg := r.cloudConfig()
	c.Renders = !c.Disabled && !cfg.networkOff && !line.configOff &&
		!r.t.Exists("/var/lib/cloud/data/upgraded-network")
	if c.Renders {
		c.Rewrites = rewrites(c.Datasource, cfg.when)
	}
}

// datasource is the name of the datasource that cloud-init runs on, without the
// class' prefix: NoCloud, Ec2, GCE.
func (r *gathering) datasource() string {
	for _, p := range []string{"/var/lib/cloud/instance/datasource", "/var/lib/cloud/data/previous-datasource"} {
		// "DataSourceNoCloud: DataSourceNoCloud [seed=/dev/sr0]..."
		if s := strings.TrimSpace(r.quiet(p, maxState)); s != "" {
			return datasourceName(s)
		}
	}
	if r.offline {
		return ""
	}
	if s := r.quiet("/run/cloud-init/cloud-id", maxState); s != "" {
		return clean(strings.TrimSpace(s))
	}
	return ""
}

func datasourceName(s string) string {
	s, _, _ = strings.Cut(s, ":")
	s, _, _ = strings.Cut(strings.TrimSpace(s), " ")
	s = strings.TrimPrefix(s, "DataSource")
	// A class that runs before or without the network has a suffix of its own.
	return clean(strings.TrimSuffix(strings.TrimSuffix(s, "Net"), "Local"))
}

// cloudCfg is the part of cloud-init's system configuration that matters.
type cloudCfg struct {
	networkOff bool
	when       []string // updates.network.when
}

// cloudConfig reads cloud.cfg and cloud.cfg.d in their order; later files win. The
// files that speak of the network are kept as facts, the others may hold users'
// secrets and are not.
func (r *gathering) cloudConfig() cloudCfg {
	var c cloudCfg
	files := []string{"/etc/cloud/cloud.cfg"}
	for _, n := range r.list("/etc/cloud/cloud.cfg.d") {
		if strings.HasSuffix(n, ".cfg") {
			files = append(files, path.Join("/etc/cloud/cloud.cfg.d", n))
		}
	}
	if !r.offline {
		files = append(files, "/run/cloud-init/cloud.cfg")
	}
	for _, p := range files {
		b, err := r.t.ReadFile(p, maxFile)
		if err != nil {
			if !missing(err) {
				r.problem(p, err)
			}
			continue
		}
		text := string(b)
		if !hasLine(text, "network:") && !hasLine(text, "updates:") && !hasLine(text, "{") {
			continue
		}
		if p != "/etc/cloud/cloud.cfg" {
			r.collect(p)
		}
		parseCloudConfig(text, &c)
	}
	return c
}

// hasLine reports whether a line of text begins with the prefix.
func hasLine(text, prefix string) bool {
	return strings.HasPrefix(text, prefix) || strings.Contains(text, "\n"+prefix)
}

// parseCloudConfig reads network.config and updates.network.when; what is no YAML
// leaves c as it was, as cloud-init itself skips such a file with a warning.
func parseCloudConfig(text string, c *cloudCfg) {
	var doc struct {
		Network yaml.Node `yaml:"network"`
		Updates struct {
			Network struct {
				When []string `yaml:"when"`
			} `yaml:"network"`
		} `yaml:"updates"`
	}
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return
	}
	if doc.Network.Kind == yaml.MappingNode {
		c.networkOff = false
		for i := 0; i+1 < len(doc.Network.Content); i += 2 {
			if doc.Network.Content[i].Value == "config" {
				c.networkOff = doc.Network.Content[i+1].Value == "disabled"
			}
		}
	}
	if doc.Updates.Network.When != nil {
		c.when = nil
		for _, w := range doc.Updates.Network.When {
			c.when = append(c.when, clean(w))
		}
	}
}

// rewrites says when cloud-init writes the network configuration again. The
// defaults are each datasource's own (default_update_events in cloud-init).
func rewrites(datasource string, when []string) string {
	if len(when) > 0 {
		for _, w := range when {
			if w == "boot" || w == "boot-legacy" {
				return "every boot"
			}
		}
		return "new instance"
	}
	switch strings.ToLower(datasource) {
	case "gce", "azure", "hetzner", "scaleway", "smartos", "rbxcloud", "rbx":
		return "every boot"
	}
	return "new instance"
}

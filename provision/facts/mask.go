package facts

import "github.com/provision-net/provision/provision/facts/secret"

// Masked returns f with the secrets in its files blanked; files that had any say
// so. Facts that are shown to anybody are masked first.
func (f *Facts) Masked() *Facts {
	g := *f
	g.Files = make(map[string]File, len(f.Files))
	for name, file := range f.Files {
		if text, changed := secret.Mask(name, file.Text); changed {
			file.Text, file.Masked = text, true
		}
		g.Files[name] = file
	}
	g.Clients = nil
	for _, c := range f.Clients {
		args := make([]string, len(c.Args))
		for i, a := range c.Args {
			args[i], _ = secret.Mask("", a)
		}
		if c.Args != nil {
			c.Args = args
		}
		g.Clients = append(g.Clients, c)
	}
	return &g
}

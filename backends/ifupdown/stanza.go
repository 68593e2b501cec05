package ifupdown

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends/ifupdown/interfaces"
)

// edit sets the metric in every stanza that makes a default route.
func (j *job) edit() error {
	running, next := j.client(j.link)
	a := abilityOf(j.f.Ifupdown.Flavour, next)
	dhcp := slices.ContainsFunc(j.stanzas, isDHCP4)
	if dhcp && a.both {
		if err := j.oneMetric(next); err != nil {
			return err
		}
		j.clientRA, j.restart = true, a.restart
	}
	j.leaseRoute = dhcp && next == dhclient && a.refuse == ""
	var errs []error
	for i := range j.stanzas {
		s := j.stanzas[i]
		metric := j.metric4
		if s.Family == "inet6" {
			metric = j.metric6
		}
		if metric == nil {
			continue
		}
		o, err := j.optionFor(s, a)
		if err == nil && o.option != "" {
			j.made4 = j.made4 || s.Family == "inet"
			err = j.set(i, o, *metric)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 && j.metric4 != nil && !j.made4 && len(j.f.Defaults(j.n.Link.Index, 4)) > 0 {
		errs = append(errs, fmt.Errorf("its IPv4 default route comes from none of its stanzas (the first is at %v): set the metric where the route is made", j.stanzas[0].Place))
	}
	if dhcp && running != nil && j.metric4 != nil {
		errs = append(errs, j.running(*running, next))
	}
	return errors.Join(errs...)
}

func isDHCP4(s *interfaces.Stanza) bool { return s.Family == "inet" && s.Method == "dhcp" }

// optionFor says which option of a stanza is its default route's metric; none when
// it makes no default route.
func (j *job) optionFor(s *interfaces.Stanza, a ability) (ability, error) {
	switch {
	case isDHCP4(s):
		if a.refuse != "" {
			return a, fmt.Errorf("%v: %s", s.Place, a.refuse)
		}
		return a, nil
	case s.Family == "inet6" && (s.Method == "auto" || s.Method == "dhcp"):
		return ability{}, nil // kernel RA; DHCPv6 has no default route
	case s.Method == "static", s.Method == "tunnel", s.Method == "v4tunnel":
		if _, ok := s.Option("gateway"); !ok {
			return ability{}, j.byHand(s)
		}
		return ability{option: "metric", sticks: true}, j.byHand(s)
	case s.Method == "bootp", s.Method == "ppp", s.Method == "wvdial":
		return ability{}, fmt.Errorf("%v: method %s has no metric: set it where that program is configured", s.Place, s.Method)
	}
	return ability{}, j.byHand(s)
}

// byHand refuses a stanza whose commands make a default route: they are shell, and
// what they do is not ours to guess.
func (j *job) byHand(s *interfaces.Stanza) error {
	for _, o := range s.Options {
		if o.Name != "up" && o.Name != "pre-up" {
			continue
		}
		words := strings.Fields(o.Value)
		adds := slices.ContainsFunc(words, func(w string) bool { return w == "add" || w == "replace" || w == "append" || w == "change" })
		dst := slices.ContainsFunc(words, func(w string) bool { return w == "default" || w == "0.0.0.0/0" || w == "::/0" || w == "0/0" })
		if adds && dst && slices.Contains(words, "route") {
			return fmt.Errorf("%v: the command %q makes a default route: put the metric into that command by hand", o.Place, o.Value)
		}
	}
	return nil
}

// set changes one option of one stanza and proves that nothing else changes.
func (j *job) set(i int, a ability, metric uint32) error {
	s := j.stanzas[i]
	have, ok := s.Option(a.option)
	value := a.optionValue(have.Value, metric)
	path := s.File().Path
	if !slices.Contains(j.files, path) {
		j.files = append(j.files, path)
		j.cloudInit(path)
	}
	if ok && have.Value == value {
		j.change(path, j.texts[path], j.why(s, a.option, value))
		j.restanza()
		return nil
	}
	if ok && have.Inherited {
		return fmt.Errorf("%v: it inherits %s %q from the stanza of %s (%v), and ifupdown would join a second one to it: remove it there",
			s.Place, a.option, have.Value, s.Parent.Logical, have.Place)
	}
	if err := j.limited(s, j.link); err != nil {
		return err
	}
	text, err := interfaces.SetOption(s, a.option, value)
	if err != nil {
		return err
	}
	before := j.config
	j.change(path, text, j.why(s, a.option, value))
	if err := onlyThat(before, j.config, s, a.option, value); err != nil {
		return fmt.Errorf("%v: %w", s.Place, err)
	}
	j.restanza()
	return nil
}

// cloudInit says that the edited file is not only ours. There is no later file that
// could say otherwise: ifup would carry out both stanzas.
func (j *job) cloudInit(path string) {
	if path != j.n.Owner.CloudInit && !strings.HasSuffix(path, "/50-cloud-init") && !strings.HasSuffix(path, "/50-cloud-init.cfg") {
		return
	}
	when := j.n.Owner.Rewrites
	if when == "" {
		when = "new instance"
	}
	j.note("warning", j.link, "cloud-init wrote %s and writes it anew at every %s: apply again after that, or switch its network part off (network: {config: disabled})",
		path, strings.TrimPrefix(when, "every "))
}

func (j *job) why(s *interfaces.Stanza, option, value string) string {
	return fmt.Sprintf("%s %s for %s (%s)", option, value, j.link, j.n.Why)
}

// restanza finds the NIC's stanzas again in the edited configuration: an edit neither
// adds nor removes any.
func (j *job) restanza() {
	naming, err := j.logicals(j.link)
	if err == nil {
		j.stanzas = j.plan.stanzas(naming)
	}
}

// onlyThat compares two readings: one option of one stanza differs, nothing else.
func onlyThat(before, after *interfaces.Config, s *interfaces.Stanza, option, value string) error {
	moved := errors.New("the edit would change more than this one option")
	if len(before.Stanzas) != len(after.Stanzas) || len(before.Entries) != len(after.Entries) || len(before.Problems) != len(after.Problems) {
		return moved
	}
	for i, a := range before.Stanzas {
		b := after.Stanzas[i]
		var old, now []string
		for _, o := range a.Options {
			if a != s || o.Name != option {
				old = append(old, o.Name+"\x00"+o.Value)
			}
		}
		for _, o := range b.Options {
			if a != s || o.Name != option {
				now = append(now, o.Name+"\x00"+o.Value)
			} else if o.Value != value {
				return moved
			}
		}
		if a.Logical != b.Logical || a.Family != b.Family || a.Method != b.Method || !slices.Equal(old, now) {
			return moved
		}
	}
	return nil
}

package uplink

import "time"

// Config is the list "uplinks" of the slice "routing", best first.
type Config []Uplink

// Uplink is one way to the internet.
type Uplink struct {
	Interface string   `yaml:"interface" help:"the interface, such as eth0; the first of the list is preferred, the next is used when it fails"`
	Metric    uint32   `yaml:"metric" help:"metric of our own default route while this uplink is chosen against the metrics of the network managers; default: one below the lowest of the uplinks"`
	Checks    []string `yaml:"checks" help:"what is asked through it, by address: ping 9.9.9.9, tcp 1.1.1.1:443, dns 9.9.9.9:53, IPv6 as ping 2620:fe::fe or tcp [2606:4700:4700::1111]:443; one answer per family and round is enough, and a family without a check goes the way of the other"`
	Interval  string   `yaml:"interval" default:"5s" help:"time between two rounds of checks"`
	Timeout   string   `yaml:"timeout" default:"2s" help:"how long an answer may take"`
	Fail      int      `yaml:"fail" default:"3" help:"rounds without an answer in a row after which it is down"`
	Recover   int      `yaml:"recover" default:"5" help:"rounds with an answer in a row after which it is up again"`
	Hold      string   `yaml:"hold" default:"1m" help:"the least time from one switch to the return to this uplink; doubled each time that it falls again soon, up to 32 times that"`
}

// Defaults of an Uplink.
const (
	defaultInterval = 5 * time.Second
	defaultTimeout  = 2 * time.Second
	defaultFail     = 3
	defaultRecover  = 5
	defaultHold     = time.Minute
)

// mostChecks bounds what one round sends.
const mostChecks = 16

// defaultChecks ask two operators of public resolvers in each family: one of them may have a bad
// day.
func defaultChecks() []string {
	return []string{"ping 9.9.9.9", "ping 1.1.1.1", "dns 9.9.9.9:53", "ping 2620:fe::fe", "ping 2606:4700:4700::1111", "dns [2620:fe::fe]:53"}
}

// Rules is an Uplink with its words understood and its defaults filled in.
type Rules struct {
	Interface         string
	Metric            uint32
	Checks            []Check
	Interval, Timeout time.Duration
	Fail, Recover     int
	Hold              time.Duration
}

// Rules understands a configuration without problems.
func (c Config) Rules() []Rules {
	out := make([]Rules, 0, len(c))
	for _, u := range c {
		r := Rules{Interface: u.Interface, Metric: u.Metric, Fail: or(u.Fail, defaultFail), Recover: or(u.Recover, defaultRecover)}
		time := func(text string, def time.Duration) time.Duration {
			d, _ := duration(text)
			return or(d, def)
		}
		r.Interval, r.Timeout, r.Hold = time(u.Interval, defaultInterval), time(u.Timeout, defaultTimeout), time(u.Hold, defaultHold)
		checks := u.Checks
		if len(checks) == 0 {
			checks = defaultChecks()
		}
		for _, text := range checks {
			if k, err := ParseCheck(text); err == nil {
				r.Checks = append(r.Checks, k)
			}
		}
		out = append(out, r)
	}
	return out
}

func or[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

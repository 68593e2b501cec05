package bed

import (
	"fmt"
	"strings"
)

// Unbound is NLnet Labs' resolver as a forwarder with a cache, on one thread.
type Unbound struct{}

// Name is the server's name.
func (Unbound) Name() string { return "unbound" }

// Lacks says what unbound cannot do.
func (Unbound) Lacks(c Config) string {
	if c.First.IsValid() || c.RA != nil || c.DNS == nil {
		return "speaks only DNS"
	}
	return ""
}

func (Unbound) command(c Config, dir string) ([]string, []int, error) {
	conf := fmt.Sprintf(`server:
  interface: %s
  access-control: 0.0.0.0/0 allow
  username: ""
  chroot: ""
  directory: "%s"
  pidfile: ""
  use-syslog: no
  num-threads: 1
  do-not-query-localhost: no
  module-config: "iterator"
remote-control:
  control-enable: no
forward-zone:
  name: "."
`, c.Net.Addr(), dir)
	for _, u := range c.DNS.Upstreams {
		conf += "  forward-addr: " + strings.ReplaceAll(u, "#", "@") + "\n"
	}
	file, err := write(dir, "unbound.conf", conf)
	return []string{"unbound", "-d", "-c", file}, []int{53}, err
}

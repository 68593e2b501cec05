package wireguard

import (
	"errors"
	"net"
	"strconv"
)

// PeersEndpoint is where a peer finds this machine, as host:port: own, the peer's own word, or else
// PublicEndpoint, each with ListenPort where it has no port.
func (i Interface) PeersEndpoint(own string) (string, error) {
	text := own
	if text == "" {
		text = i.PublicEndpoint
	}
	if text == "" {
		return "", errors.New("nothing tells where peers find this machine: set public-endpoint to its name or address")
	}
	host, port, why := SplitEndpoint(text, true)
	if why != "" {
		return "", errors.New(why)
	}
	if port == 0 {
		port = i.ListenPort
	}
	if port == 0 {
		return "", errors.New("peers cannot call a machine whose port changes: set listen-port")
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port))), nil
}

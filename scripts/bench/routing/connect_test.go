//go:build lab && linux

package routing

import (
	"fmt"
	"net"
	"time"
)

// connects is how many connections a second one client opens and closes through the box.
func (w *world) connects() (float64, error) {
	var l net.Listener
	if err := w.server.Do(func() (err error) { l, err = net.Listen("tcp4", "10.1.0.2:80"); return err }); err != nil {
		return 0, err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = c.Read(make([]byte, 1)) // until the client has closed
				c.Close()
			}()
		}
	}()
	n, begin := 0, time.Now()
	err := w.client.Do(func() error {
		for time.Since(begin) < *span/2 {
			c, err := net.DialTimeout("tcp4", "10.1.0.2:80", 2*time.Second)
			if err != nil {
				return fmt.Errorf("after %d connections: %w", n, err)
			}
			_ = c.(*net.TCPConn).SetLinger(0) // no port waits for its next use
			c.Close()
			n++
		}
		return nil
	})
	return float64(n) / time.Since(begin).Seconds(), err
}

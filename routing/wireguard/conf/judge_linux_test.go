package conf

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	keys "github.com/provision-net/provision/provision/resource/wireguard"
)

// device is a stand-in for a device of userspace, as far as wg(8) asks one: it tells its state and keeps
// what it is told (the cross-platform interface of wireguard.com/xplatform).
type device struct {
	mu    sync.Mutex
	state string
	told  []string
}

func (d *device) serve(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var lines []string
	for s := bufio.NewScanner(c); s.Scan() && s.Text() != ""; {
		lines = append(lines, s.Text())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	reply := "errno=0\n\n"
	if len(lines) > 0 && lines[0] == "get=1" {
		reply = d.state + reply
	} else if len(lines) > 0 {
		d.told = append(d.told, lines[1:]...)
	}
	_, _ = c.Write([]byte(reply)) // wg says what it missed
}

func listen(t *testing.T, state string) (string, *device) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: not root, and wg looks for devices in /var/run/wireguard")
	}
	const dir = "/var/run/wireguard"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Skipf("skipped: %v", err)
	}
	name := fmt.Sprintf("wgj%d", os.Getpid())
	l, err := net.Listen("unix", filepath.Join(dir, name+".sock"))
	if err != nil {
		t.Fatal(err)
	}
	d := &device{state: state}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.serve(c)
		}
	})
	return name, d
}

func wg(t *testing.T, args ...string) string {
	t.Helper()
	bin, err := exec.LookPath("wg")
	if err != nil {
		t.Skip("skipped: no wg (package wireguard-tools)")
	}
	out, err := exec.CommandContext(t.Context(), bin, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("wg %v: %s", args, out)
	}
	return string(out)
}

func hexKey(k keys.Key) string { return hex.EncodeToString(k[:]) }

// settings are the lines by which a device is told what f says.
func settings(f File) []string {
	i := f.Interface
	out := []string{"private_key=" + hexKey(i.PrivateKey), fmt.Sprintf("listen_port=%d", i.ListenPort), fmt.Sprintf("fwmark=%d", i.FwMark)}
	for _, p := range f.Peers {
		out = append(out, "public_key="+hexKey(p.PublicKey), "preshared_key="+hexKey(p.PresharedKey))
		if p.Endpoint != "" {
			out = append(out, "endpoint="+p.Endpoint)
		}
		out = append(out, fmt.Sprintf("persistent_keepalive_interval=%d", p.PersistentKeepalive))
		for _, a := range p.AllowedIPs {
			out = append(out, "allowed_ip="+a.String())
		}
	}
	return out
}

// TestJudgeSync: wg syncconf reads our file as it is meant.
func TestJudgeSync(t *testing.T) {
	f := read(t, messy)
	name, d := listen(t, "")
	file := filepath.Join(t.TempDir(), "wg0.conf")
	if err := os.WriteFile(file, f.Sync(), 0o600); err != nil {
		t.Fatal(err)
	}
	wg(t, "syncconf", name, file)
	d.mu.Lock()
	defer d.mu.Unlock()
	told := map[string]int{}
	for _, l := range d.told {
		told[l]++
	}
	for _, want := range settings(f) {
		if told[want]--; told[want] < 0 {
			t.Errorf("wg does not say %s:\n%s", want, strings.Join(d.told, "\n"))
		}
	}
	for l, n := range told {
		if n > 0 && l != "replace_allowed_ips=true" && l != "replace_peers=true" && !strings.HasPrefix(l, "protocol_version") {
			t.Errorf("wg also says %s", l)
		}
	}
}

// TestJudgeShow: what wg showconf prints of a device we read as what the device has.
func TestJudgeShow(t *testing.T) {
	want := read(t, messy)
	want.Interface = Interface{PrivateKey: want.Interface.PrivateKey, ListenPort: want.Interface.ListenPort, FwMark: want.Interface.FwMark}
	name, _ := listen(t, strings.Join(settings(want), "\n")+"\n")
	text := wg(t, "showconf", name)
	got := strip(read(t, text))
	want = strip(want)
	for n := range want.Peers {
		want.Peers[n].Name = ""
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("wg prints\n%swhich we read as %+v", text, got)
	}
}

//go:build lab && linux

package people

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Peers come and go while another one's packets flow: none of them is lost. Who adds at the same time
// gets other addresses.
func TestOthersKeepFlowing(t *testing.T) {
	w := newWorld(t)
	start := time.Now()
	w.box.provision("wireguard", "init", "--endpoint", box4, "--manage", "no")
	initial := time.Since(start)
	w.phone.up("phone", w.box.provision("wireguard", "add", "phone"))
	w.phone.pings(host4)
	w.phone.pings(host6)

	ping := w.phone.command("ping", "-q", "-i0.01", "-w8", host4)
	var out strings.Builder
	ping.Stdout = &out
	if err := ping.Start(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	var slowest time.Duration
	for n := range 8 {
		name := fmt.Sprintf("peer%d", n)
		start := time.Now()
		config := w.box.provision("wireguard", "add", name)
		slowest = max(slowest, time.Since(start))
		addr := field(t, config, "Address")
		if other, twice := seen[addr]; twice {
			t.Errorf("%s has the addresses of %s: %s", name, other, addr)
		}
		seen[addr] = name
		if n%2 == 0 {
			w.box.provision("wireguard", "remove", name)
			delete(seen, addr)
		}
	}
	var wg sync.WaitGroup
	configs := make([]string, 4)
	for n := range configs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			configs[n], _ = w.box.try(w.box.dir+"/bin/provision", "wireguard", "add", fmt.Sprintf("same%d", n))
		}()
	}
	wg.Wait()
	for n, c := range configs {
		addr := field(t, c, "Address")
		if other, twice := seen[addr]; twice {
			t.Errorf("same%d has the addresses of %s: %s", n, other, addr)
		}
		seen[addr] = fmt.Sprintf("same%d", n)
	}
	if err := ping.Wait(); err != nil {
		t.Fatal(err, out.String())
	}
	sent := regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`).FindStringSubmatch(out.String())
	if sent == nil || sent[1] != sent[2] {
		t.Errorf("packets were lost:\n%s", out.String())
	}
	t.Logf("init %v, slowest add %v, and of the other peer: %s", initial.Round(time.Millisecond), slowest.Round(time.Millisecond), sent[0])
}

// The codes are read by somebody else; a key that never leaves the peer is shown nowhere and works.
func TestCodesAndKeys(t *testing.T) {
	w := newWorld(t)
	box := w.box
	box.provision("wireguard", "init", "--endpoint", box4, "--manage", "no")

	// wg genkey is the peer's own.
	private := strings.TrimSpace(w.phone.run("wg", "genkey"))
	pub := w.phone.command("wg", "pubkey")
	pub.Stdin = strings.NewReader(private + "\n")
	public, err := pub.Output()
	if err != nil {
		t.Fatal(err)
	}
	config := box.provision("wireguard", "add", "laptop", "--public-key", strings.TrimSpace(string(public)))
	if strings.Contains(config, "\nPrivateKey") {
		t.Errorf("a private key is made up:\n%s", config)
	}
	w.phone.up("laptop", strings.Replace(config, "[Interface]\n", "[Interface]\nPrivateKey = "+private+"\n", 1))
	w.phone.pings(host6)
	if code, _, errs := box.status("wireguard", "add", "another", "--public-key", strings.TrimSpace(string(public))); code != 64 || !strings.Contains(errs, "to the kernel they are one peer") {
		t.Errorf("the same key again: status %d, %s", code, errs)
	}

	if config := box.provision("wireguard", "add", "tv", "--dns", "none"); strings.Contains(config, "DNS") {
		t.Errorf("it keeps its name servers:\n%s", config)
	} else if shown := box.provision("wireguard", "show", "tv"); strings.Contains(shown, "DNS") {
		t.Errorf("shown again:\n%s", shown)
	}
	if code, _, errs := box.status("wireguard", "add", "radio", "--dns", "none,9.9.9.9"); code != 64 || !strings.Contains(errs, "none stands alone") {
		t.Errorf("none and one: status %d, %s", code, errs)
	}
	box.provision("wireguard", "remove", "tv")

	png, svg, file := box.dir+"/phone.png", box.dir+"/phone.svg", box.dir+"/phone.conf"
	out := box.provision("wireguard", "add", "phone", "--keep-key", "--png", png, "--svg", svg, "--out", file)
	if out != "" {
		t.Errorf("beside files something is printed: %s", out)
	}
	want := box.run("cat", file)
	shown := box.provision("wireguard", "show", "phone")
	if shown != want {
		t.Errorf("shown again:\n%s\nwas:\n%s", shown, want)
	}
	if modes := box.run("stat", "-c%a", png, svg, file); modes != "600\n600\n600\n" {
		t.Errorf("modes %q", modes)
	}
	if code, _, errs := box.status("wireguard", "add", "thief", "--png", png); code != 64 || !strings.Contains(errs, "exists") {
		t.Errorf("over a file that is there: status %d, %s", code, errs)
	}
	if got := box.run("wg", "show", "wg0", "peers"); strings.Count(got, "\n") != 2 {
		t.Errorf("peers:\n%s", got)
	}
	if _, err := exec.LookPath("zbarimg"); err != nil {
		t.Skipf("skipped the codes: %v", err)
	}
	code := box.run("zbarimg", "-q", "--raw", png)
	plain := strings.NewReplacer(" = ", "=", ", ", ",", "\n\n", "\n").Replace(want)
	if strings.TrimSpace(code) != strings.TrimSpace(plain) {
		t.Errorf("the code says\n%s\nthe file\n%s", code, plain)
	}
	// On a terminal the code is drawn where it has room, and nothing is made where it has to be and has none.
	if _, err := exec.LookPath("script"); err != nil {
		t.Skipf("skipped the terminal: %v", err)
	}
	term := func(rows, columns int, args string) (string, error) {
		return box.try("script", "-qec", fmt.Sprintf("stty rows %d cols %d; %s/bin/provision wireguard %s", rows, columns, box.dir, args), "/dev/null")
	}
	if got, err := term(50, 100, "add tall --qr"); err != nil || !strings.Contains(got, "▀") {
		t.Errorf("a terminal with room: %v\n%s", err, got)
	}
	if got, err := term(24, 80, "add small --qr"); err == nil || !strings.Contains(got, "the terminal has 80 and 23") {
		t.Errorf("a small terminal: %v\n%s", err, got)
	}
	if got, err := term(24, 80, "add narrow"); err != nil || strings.Contains(got, "▀") || !strings.Contains(got, "no QR code") || !strings.Contains(got, "PrivateKey = ") {
		t.Errorf("a small terminal that need not have it: %v\n%s", err, got)
	}
	if got := box.run("ls", "/etc/provision/wireguard.d/wg0"); strings.Contains(got, "small") || strings.Contains(got, "thief") {
		t.Errorf("kept: %s", got)
	}
}

// Two devices with one key take the tunnel from each other, and list says so.
func TestTwoWithOneKey(t *testing.T) {
	w := newWorld(t)
	w.box.provision("wireguard", "init", "--endpoint", box4, "--manage", "no")
	config := w.box.provision("wireguard", "add", "phone")
	for _, m := range []*machine{w.phone, w.tablet} {
		m.up("phone", config)
		m.pings(host4)
		w.box.list()
	}
	// Now what is answered goes by the other one's session, and it is what they send that counts.
	for range 3 {
		for _, m := range []*machine{w.phone, w.tablet} {
			_, _ = m.try("ping", "-c1", "-W0.2", host4)
			w.box.list()
		}
	}
	l := w.box.list()
	if p := l.Interfaces[0].Peers[0]; len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "two devices use the same key") || !strings.Contains(p.Warnings[0], "192.0.2.7") {
		t.Errorf("%+v", p)
	}
}

package key

import (
	"bytes"
	"crypto/rand"
	"os/exec"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

func TestPairs(t *testing.T) {
	// RFC 7748 section 6.1, Alice.
	p, err := NewPair(bytes.NewReader([]byte("\x77\x07\x6d\x0a\x73\x18\xa5\x7d\x3c\x16\xc1\x72\x51\xb2\x66\x45\xdf\x4c\x2f\x87\xeb\xc0\x99\x2a\xb1\x77\xfb\xa5\x1d\xb9\x2c\x2a")))
	if err != nil || p.Public.String() != "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=" {
		t.Error(p.Public, err)
	}
	if p.Private != p.Private.Clamp() {
		t.Error("the private key is not clamped")
	}
	for _, short := range [][]byte{nil, make([]byte, 31), make([]byte, 32)} {
		if p, err := NewPair(bytes.NewReader(short)); err == nil || p.Private != (wireguard.Key{}) {
			t.Errorf("%d bytes: %v", len(short), err)
		}
		if _, err := NewPreshared(bytes.NewReader(short)); err == nil {
			t.Errorf("%d bytes are a preshared key", len(short))
		}
	}
}

// TestJudgeWG: wg(8) makes the same public key of a private one.
func TestJudgeWG(t *testing.T) {
	wg, err := exec.LookPath("wg")
	if err != nil {
		t.Skip("skipped: no wg (package wireguard-tools)")
	}
	for range 5 {
		p, err := NewPair(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(wg, "pubkey")
		cmd.Stdin = bytes.NewReader(File(p.Private))
		out, err := cmd.Output()
		if err != nil || strings.TrimSpace(string(out)) != p.Public.String() {
			t.Errorf("wg says %s: %v, want %s", out, err, p.Public)
		}
	}
}

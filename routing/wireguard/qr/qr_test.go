package qr

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rsc.io/qr/coding"
)

// phone is as long as a dual-stack configuration with a preshared key is.
const phone = `[Interface]
PrivateKey=yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
Address=10.97.98.2/32,fd12:3456:789a:1::2/128
DNS=10.97.98.1,fd12:3456:789a:1::1
[Peer]
PublicKey=xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
PresharedKey=/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=
AllowedIPs=0.0.0.0/0,::/0
Endpoint=vpn.example.org:51820
PersistentKeepalive=25
`

func text(n int) string {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(32 + r.IntN(95))
	}
	return string(b)
}

// Both ways to count agree with each other and with the library, for all versions.
func TestNumbers(t *testing.T) {
	for v := 1; v <= maxVersion; v++ {
		if codewords(v) != total(v) {
			t.Errorf("version %d: %d and %d codewords", v, codewords(v), total(v))
		}
		for _, l := range []Level{L, M} {
			data := coding.Version(v).DataBytes(coding.Level(l))
			if got := capacity(v, l); got != (data*8-12)/8 && v < 10 || got != (data*8-20)/8 && v >= 10 {
				t.Errorf("version %d %s holds %d", v, l, got)
			}
		}
	}
	if Capacity(L) != 2953 || Capacity(M) != 2331 || Version(2954, L) != 0 {
		t.Error(Capacity(L), Capacity(M))
	}
}

// Each version and level is made and read, full and just not full.
func TestEveryVersion(t *testing.T) {
	for v := 1; v <= maxVersion; v++ {
		for _, l := range []Level{L, M} {
			for _, n := range []int{capacity(v, l), capacity(v, l) - 1} {
				c, err := Encode(text(n), l)
				if err != nil || c.Version != v || c.Size != size(v) {
					t.Fatalf("version %d %s, %d bytes: %d, %v", v, l, n, c.Version, err)
				}
			}
		}
	}
	if _, err := Encode(text(2954), L); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
}

// All masks are read, since others' codes have them, and a module that is wrong is seen, whichever it is.
func TestDecode(t *testing.T) {
	for mask := range 8 {
		p, err := coding.NewPlan(13, coding.L, coding.Mask(mask))
		if err != nil {
			t.Fatal(err)
		}
		c, err := p.Encode(coding.String(phone))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(c.Size, c.Black); err != nil || got != phone {
			t.Errorf("mask %d: %v", mask, err)
		}
	}
	c, err := Encode("hello", M)
	if err != nil {
		t.Fatal(err)
	}
	for y := range c.Size {
		for x := range c.Size {
			if got, err := Decode(c.Size, func(a, b int) bool { return c.Dark(a, b) != (a == x && b == y) }); err == nil && got != "hello" {
				t.Errorf("with %d,%d turned round it says %q", x, y, got)
			} else if err == nil && !function(c.Version)(x, y) {
				t.Errorf("%d,%d turned round is not seen", x, y)
			}
		}
	}
	for _, side := range []int{0, -3, 20, 22, 181} {
		if _, err := Decode(side, c.Dark); err == nil {
			t.Errorf("%d modules are a side", side)
		}
	}
	q, _ := coding.NewPlan(3, coding.Q, 0)
	other, _ := q.Encode(coding.String("x"))
	if _, err := Decode(other.Size, other.Black); err == nil {
		t.Error("level Q is read")
	}
	n, _ := coding.NewPlan(1, coding.L, 0)
	digits, _ := n.Encode(coding.Num("123"))
	if _, err := Decode(digits.Size, digits.Black); err == nil {
		t.Error("digits are read as bytes")
	}
}

func TestForTerminal(t *testing.T) {
	for _, tt := range []struct {
		columns, rows int
		level         Level
		border        int
		version       int
	}{
		{200, 60, M, 4, 14},
		{80, 40, L, 4, 12},
		{73, 37, L, 4, 12},
		{72, 36, L, 2, 12}, // the narrow border
		{69, 35, L, 2, 12},
	} {
		got, err := ForTerminal(phone, tt.columns, tt.rows)
		if err != nil || got.Level != tt.level || got.Border != tt.border || got.Version != tt.version {
			t.Errorf("%dx%d: version %d%s border %d, %v", tt.columns, tt.rows, got.Version, got.Level, got.Border, err)
			continue
		}
		lines := strings.Split(strings.TrimSuffix(got.Plain(), "\n"), "\n")
		if len(lines) != got.Rows || got.Rows > tt.rows || len([]rune(lines[0])) != got.Columns || got.Columns > tt.columns {
			t.Errorf("%dx%d: drawn as %dx%d", tt.columns, tt.rows, len([]rune(lines[0])), len(lines))
		}
	}
	for _, small := range [][2]int{{80, 24}, {68, 60}, {0, 0}} {
		if _, err := ForTerminal(phone, small[0], small[1]); !errors.Is(err, ErrNoRoom) || !strings.Contains(err.Error(), "69 columns and 35 rows") || !strings.Contains(err.Error(), "--png") {
			t.Errorf("%v: %v", small, err)
		}
	}
	if _, err := ForTerminal(text(3000), 1000, 1000); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
}

// What is drawn for a terminal is the code: its half blocks are read back.
func TestDrawing(t *testing.T) {
	term, err := ForTerminal(phone, 100, 50)
	if err != nil {
		t.Fatal(err)
	}
	for name, drawn := range map[string]string{"coloured": term.String(), "plain": term.Plain()} {
		drawn = strings.NewReplacer("\x1b[38;5;16;48;5;231m", "", "\x1b[0m", "").Replace(drawn)
		var rows [][]rune
		for line := range strings.Lines(drawn) {
			rows = append(rows, []rune(strings.TrimSuffix(line, "\n")))
		}
		got, err := Decode(term.Size, func(x, y int) bool {
			x, y = x+term.Border, y+term.Border
			r := rows[y/2][x]
			on := r == '█' || r == '▀' && y%2 == 0 || r == '▄' && y%2 == 1
			return on == (name == "coloured")
		})
		if err != nil || got != phone {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPNG(t *testing.T) {
	c, err := Encode(phone, M)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(c.PNG(5)))
	if err != nil {
		t.Fatal(err)
	}
	if w := img.Bounds().Dx(); w != (c.Size+8)*5 {
		t.Error(w)
	}
	got, err := Decode(c.Size, func(x, y int) bool {
		r, _, _, _ := img.At((x+quiet)*5+2, (y+quiet)*5+2).RGBA()
		return r == 0
	})
	if err != nil || got != phone {
		t.Error(err)
	}
	if _, err := png.Decode(bytes.NewReader(c.PNG(0))); err != nil {
		t.Error(err)
	}
	big, err := Encode(text(2953), L)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(big.PNG(8))); err != nil { // more than one stored block
		t.Error(err)
	}
}

// TestJudgeZbar: an independent reader takes the images for what they are.
func TestJudgeZbar(t *testing.T) {
	zbar, err := exec.LookPath("zbarimg")
	if err != nil {
		t.Skip("skipped: no zbarimg (package zbar-tools)")
	}
	long := phone + strings.Repeat("# 0123456789abcdef\n", 60)
	for name, want := range map[string]string{"phone": phone, "long": long, "short": "[Interface]\n"} {
		for _, l := range []Level{L, M} {
			c, err := Encode(want, l)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "code.png")
			if err := os.WriteFile(file, c.PNG(6), 0o600); err != nil {
				t.Fatal(err)
			}
			// --raw adds one new line of its own.
			out, err := exec.Command(zbar, "-q", "--raw", file).Output()
			if err != nil || strings.TrimSuffix(string(out), "\n") != want {
				t.Errorf("%s %s (version %d): zbarimg reads %q, %v", name, l, c.Version, out, err)
			}
			svg := filepath.Join(t.TempDir(), "code.svg")
			if err := os.WriteFile(svg, c.SVG(), 0o600); err != nil {
				t.Fatal(err)
			}
			convert, err := exec.LookPath("rsvg-convert")
			if err != nil {
				continue
			}
			out, err = exec.Command(convert, "-w", "600", "-o", file, svg).CombinedOutput()
			if err != nil {
				t.Fatalf("rsvg-convert: %s %v", out, err)
			}
			if out, err = exec.Command(zbar, "-q", "--raw", file).Output(); err != nil || strings.TrimSuffix(string(out), "\n") != want {
				t.Errorf("%s %s as SVG: %q, %v", name, l, out, err)
			}
		}
	}
}

// TestSVG: the drawing has the modules of the code, each once.
func TestSVG(t *testing.T) {
	c, err := Encode("[Interface]\n", M)
	if err != nil {
		t.Fatal(err)
	}
	svg := string(c.SVG())
	_, d, _ := strings.Cut(svg, `<path d="`)
	d, _, _ = strings.Cut(d, `"`)
	seen := map[[2]int]bool{}
	for _, part := range strings.Split(strings.TrimPrefix(d, "M"), "M") {
		var x, y, run, back int
		if _, err := fmt.Sscanf(part, "%d %dh%dv1h-%dz", &x, &y, &run, &back); err != nil || run != back {
			t.Fatalf("%q: %v", part, err)
		}
		for i := range run {
			seen[[2]int{x + i - quiet, y - quiet}] = true
		}
	}
	for y := -1; y <= c.Size; y++ {
		for x := -1; x <= c.Size; x++ {
			if seen[[2]int{x, y}] != c.Dark(x, y) {
				t.Fatalf("%d,%d", x, y)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	c, _ := Encode("hello", M)
	var seed []byte
	for _, d := range c.dark {
		seed = append(seed, map[bool]byte{true: 1}[d])
	}
	f.Add(21, seed)
	f.Fuzz(func(t *testing.T, side int, data []byte) {
		if side > 177 {
			return
		}
		_, _ = Decode(side, func(x, y int) bool {
			i := y*side + x
			return i < len(data) && data[i]&1 != 0
		})
	})
}

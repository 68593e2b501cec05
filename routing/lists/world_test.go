package lists

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// registryFiles makes the five registries' files, lines in all: sizes, statuses, quirks and the
// neighbourhood of blocks are as in theirs.
func registryFiles(seed uint64, lines int) map[string][]byte {
	r := rand.New(rand.NewPCG(seed, 8))
	countries := strings.Fields("CN US DE JP BR ZA IN FR GB AU RU KR HK ID AR NG CH SE NL ES")
	out := map[string][]byte{}
	at4, at6 := uint32(1<<24), uint64(0x2001020000000000)
	for i, name := range []string{"afrinic", "apnic", "arin", "lacnic", "ripencc"} {
		share := []int{4, 28, 28, 10, 30}[i] * lines / 100
		var body bytes.Buffer
		n4, n6, nAS := 0, 0, 0
		for range share {
			cc := countries[r.IntN(len(countries))]
			status := []string{"allocated", "assigned", "allocated", "available", "reserved"}[min(r.IntN(20), 4)]
			if r.IntN(20) < 14 {
				status = []string{"allocated", "assigned"}[r.IntN(2)]
			}
			if status == "available" {
				cc = [...]string{"", "ZZ"}[i%2]
			}
			date := []string{"20110414", "", "00000000"}[min(r.IntN(12), 2)]
			switch k := r.IntN(100); {
			case k < 62:
				size := uint32(256) << r.IntN(6)
				if r.IntN(5) == 0 {
					size = 256 * (1 + r.Uint32N(30)) // no power of two
				}
				if at4 > 0xdf000000 { // around, into holes that were left
					at4 = 1<<24 + r.Uint32N(1<<24)&^255
				}
				at := netip.AddrFrom4([4]byte{byte(at4 >> 24), byte(at4 >> 16), byte(at4 >> 8), byte(at4)})
				fmt.Fprintf(&body, "%s|%s|ipv4|%s|%d|%s|%s|opaque%d\n", name, cc, at, size, date, status, r.IntN(9999))
				if at4 += size; r.IntN(6) == 0 {
					at4 += 256 * r.Uint32N(64)
				}
				n4++
			case k < 85:
				bits := []int{32, 48, 29, 32, 44, 20, 40}[r.IntN(7)]
				at6 = (at6 + 1<<(64-bits) - 1) &^ (1<<(64-bits) - 1)
				var b [16]byte
				for j := range 8 {
					b[j] = byte(at6 >> (56 - 8*j))
				}
				fmt.Fprintf(&body, "%s|%s|ipv6|%s|%d|%s|%s|opaque%d|e-stats\n", name, cc, netip.AddrFrom16(b), bits, date, status, r.IntN(9999))
				if at6 += 1 << (64 - bits); at6 > 0x3fff<<48 {
					at6 = 0x2001020000000000 + r.Uint64N(1<<40)<<16
				}
				n6++
			default:
				fmt.Fprintf(&body, "%s|%s|asn|%d|1|%s|%s|x\n", name, cc, r.IntN(400000), date, status)
				nAS++
			}
		}
		head := fmt.Sprintf("2|%s|20240105|%d|19830613|20240104|+1000\n%s|*|ipv4|*|%d|summary\n%s|*|ipv6|*|%d|summary\n%s|*|asn|*|%d|summary\n",
			name, share, name, n4, name, n6, name, nAS)
		out[name] = append([]byte(head), body.Bytes()...)
	}
	return out
}

// documents is a Source of texts.
type documents struct {
	texts map[string][]byte
	etag  string
	err   error
	reads int
}

func (d *documents) Read(_ context.Context, where string, most int64, known Validator, take func(io.Reader) error) (Validator, bool, error) {
	d.reads++
	text, ok := d.texts[where]
	switch {
	case !ok || d.err != nil:
		return Validator{}, false, fmt.Errorf("cannot fetch %s: %w", where, errors.Join(d.err, os.ErrNotExist))
	case int64(len(text)) > most:
		return Validator{}, false, errors.New("too large")
	case d.etag != "" && known.ETag == d.etag:
		return known, true, nil
	}
	return Validator{ETag: d.etag}, false, take(bytes.NewReader(text))
}

// judge reads the registries' files by itself and says which prefixes a country has.
const judge = `
import ipaddress, sys
cc, nets = sys.argv[1], {4: [], 6: []}
for path in sys.argv[2:]:
    for line in open(path):
        f = line.rstrip("\n").split("|")
        if len(f) < 7 or f[1] != cc or f[6] not in ("allocated", "assigned"): continue
        if f[2] == "ipv4":
            a = ipaddress.IPv4Address(f[3])
            nets[4].extend(ipaddress.summarize_address_range(a, a + (int(f[4]) - 1)))
        elif f[2] == "ipv6":
            nets[6].append(ipaddress.IPv6Network(f[3] + "/" + f[4]))
for v in 4, 6:
    for n in ipaddress.collapse_addresses(nets[v]): print(n)
`

// TestCountries compares what is read of registries' files with an independent reader and
// summariser: 50,000 lines, or under PROVISION_LAB_FULL the 250,000 that there are in reality.
func TestCountries(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3, which is the judge")
	}
	lines := 50000
	if os.Getenv("PROVISION_LAB_FULL") != "" {
		lines = 250000
	}
	texts := registryFiles(1, lines)
	src := &documents{texts: map[string][]byte{}}
	var files []string
	dir := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(dir, name)
		files = append(files, path)
		src.texts[path] = text
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	countries := []string{"CN", "US", "ZA"}
	c := Config{}
	for _, cc := range countries {
		c[strings.ToLower(cc)] = List{Countries: []string{cc}, Registries: files}
	}
	got := c.Gather(t.Context(), c.Names(), nil, src, time.Now(), false)
	if src.reads != 5 {
		t.Errorf("%d files were read, and there are five", src.reads)
	}
	for _, cc := range countries {
		o := got[strings.ToLower(cc)]
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		out, err := exec.Command(python, append([]string{"-c", judge, cc}, files...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		ours := o.Copy.Set.Prefixes()
		s, n := bufio.NewScanner(bytes.NewReader(out)), 0
		for ; s.Scan(); n++ {
			if n >= len(ours) || ours[n].String() != s.Text() {
				t.Fatalf("%s: prefix %d is %s, and we have another", cc, n, s.Text())
			}
		}
		if n != len(ours) || n < lines/100 {
			t.Errorf("%s: the judge has %d prefixes, we have %d", cc, n, len(ours))
		}
		t.Logf("%s: %d records are %d prefixes, in the kernel %d and %d runs", cc, o.Copy.Entries, n, o.Copy.Set.Runs(4), o.Copy.Set.Runs(6))
	}
}

// BenchmarkCountry reads 250,000 lines for one country, as a refresh does.
func BenchmarkCountry(b *testing.B) {
	src := &documents{texts: registryFiles(1, 250000)}
	var names []string
	bytes := 0
	for n, text := range src.texts {
		names = append(names, n)
		bytes += len(text)
	}
	c := Config{"cn": {Countries: []string{"CN"}, Registries: names}}
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	for b.Loop() {
		if o := c.Gather(b.Context(), c.Names(), nil, src, time.Now(), false)["cn"]; o.Err != nil {
			b.Fatal(o.Err)
		}
	}
}

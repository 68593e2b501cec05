package nft

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host/nstest"
)

// counted is what differs between two readings of the same table.
var counted = regexp.MustCompile(`packets \d+ bytes \d+| # handle \d+| expires \w+`)

// listing strips a listing of what counts and of its layout: one string for each line.
func listing(text string) []string {
	var out []string
	text = strings.ReplaceAll(text, ",\n", ", ") // elements go over several lines
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.Join(strings.Fields(counted.ReplaceAllString(line, "")), " ")
		if line != "" {
			out = append(out, line)
		}
	}
	return out
}

func needNft(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("skipped: no nft(8); install nftables")
	}
}

// feed gives nft a file by its standard input.
func feed(ns *nstest.NS, text string, args ...string) (string, error) {
	var out []byte
	var err error
	ns.Do(func() {
		cmd := exec.Command("nft", append(args, "-f", "-")...)
		cmd.Stdin = strings.NewReader(text)
		out, err = cmd.CombinedOutput()
	})
	return string(out), err
}

// TestTextIsWhatNftLists loads each corpus with nft, reads it from the kernel, and compares our
// words with those of "nft list"; then nft loads our words, and the kernel holds the same.
func TestTextIsWhatNftLists(t *testing.T) {
	needNft(t)
	files, err := filepath.Glob("testdata/text/*.nft")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ns := nstest.New(t)
			if out, err := feed(ns, string(text)); err != nil {
				t.Fatalf("nft does not take the corpus: %v: %s", err, out)
			}
			for _, table := range dumpAll(t, ns) {
				got, ok := Lines(table)
				if !ok {
					for _, l := range listing(got) {
						if strings.Contains(l, "[ ") {
							t.Errorf("no words for: %s", l)
						}
					}
				}
				want := ns.Sh("nft list table " + table.Family + " " + table.Name)
				compareLines(t, listing(got), listing(want))
				again := nstest.New(t)
				if out, err := feed(again, got); err != nil {
					t.Fatalf("nft does not take our words: %v: %s", err, out)
				}
				second := dumpAll(t, again)
				if len(second) != 1 {
					t.Fatalf("%d tables after loading our words", len(second))
				}
				back, _ := Lines(second[0])
				compareLines(t, listing(back), listing(got))
				compareLines(t, strings.Split(Format(Canonical(second[0])), "\n"), strings.Split(Format(Canonical(table)), "\n"))
			}
		})
	}
}

func dumpAll(t *testing.T, ns *nstest.NS) []Table {
	t.Helper()
	var tables []Table
	var err error
	ns.Do(func() { tables, err = DumpAll(context.Background()) })
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func compareLines(t *testing.T, got, want []string) {
	t.Helper()
	bad := 0
	for i := range max(len(got), len(want)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			bad++
			t.Errorf("line %d\n got %s\nwant %s", i+1, g, w)
		}
		if len(got) != len(want) && bad > 3 {
			return
		}
	}
}

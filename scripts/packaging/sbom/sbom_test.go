package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// The bill names each library that is linked in, as it was built and not as it was asked for.
func TestBill(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "example.org/tool"}, Deps: []*debug.Module{
		{Path: "example.org/a", Version: "v1.0.0"},
		{Path: "example.org/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.org/fork", Version: "v1.0.1"}},
	}, Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "arm"}, {Key: "-ldflags", Value: "-s"}}}
	sum := sha256.Sum256([]byte("program"))
	b := bill(info, sum, "1.2.3", "2026-01-31T00:00:00Z")
	if want := hex.EncodeToString(sum[:]); b.Meta.Component.Hashes[0].Content != want {
		t.Errorf("digest %s, not %s", b.Meta.Component.Hashes[0].Content, want)
	}
	var purls []string
	for _, c := range b.Components {
		purls = append(purls, c.Purl)
	}
	if got, want := strings.Join(purls, " "), "pkg:golang/std@go1.26.8 pkg:golang/example.org/a@v1.0.0 pkg:golang/example.org/fork@v1.0.1"; got != want {
		t.Errorf("components %s\nnot %s", got, want)
	}
	if len(b.Meta.Props) != 1 || b.Meta.Props[0] != (property{"go:GOARCH", "arm"}) {
		t.Errorf("properties %v", b.Meta.Props)
	}
	if !strings.HasPrefix(b.Serial, "urn:uuid:") || len(b.Serial) != len("urn:uuid:")+36 || b.Serial[23] != '8' || !strings.ContainsRune("89ab", rune(b.Serial[28])) {
		t.Errorf("no UUID of version 8: %s", b.Serial)
	}
	if other := bill(info, sha256.Sum256([]byte("another")), "1.2.3", ""); other.Serial == b.Serial {
		t.Error("another program has the same serial number")
	}
}

// A program of Go is read from its file, and anything else is refused by name.
func TestWrite(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := write(&out, self, "1", "2026-01-31T00:00:00Z"); err != nil {
		t.Fatal(err)
	}
	var b bom
	if err := json.Unmarshal(out.Bytes(), &b); err != nil || b.Format != "CycloneDX" || b.Meta.Component.Version != "1" {
		t.Errorf("%v: %s", err, out.Bytes())
	}
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := write(&bytes.Buffer{}, path, "1", ""); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a text was taken for a program: %v", err)
	}
}

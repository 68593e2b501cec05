// sbom prints the software bill of materials of a Go program, as CycloneDX 1.5, from what the compiler has written into it.
//
//	sbom -version 1.2.3 -date 2026-01-31T00:00:00Z ./provision
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// The parts of CycloneDX 1.5 that are used (cyclonedx.org/docs/1.5/json).
type bom struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Serial     string      `json:"serialNumber"`
	Version    int         `json:"version"`
	Meta       meta        `json:"metadata"`
	Components []component `json:"components"`
}

type meta struct {
	Time      string     `json:"timestamp"`
	Component component  `json:"component"`
	Props     []property `json:"properties"`
}

type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Purl    string `json:"purl,omitempty"`
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func main() {
	version := flag.String("version", "unknown", "the program's version")
	date := flag.String("date", "", "its time, RFC 3339")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "sbom: give the program")
		os.Exit(64)
	}
	if err := write(os.Stdout, flag.Arg(0), *version, *date); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// write prints the bill of the program at path.
func write(w io.Writer, path, version, date string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot tell what is in %s: %w", path, err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(bill(info, sha256.Sum256(program), version, date))
}

// bill is made of what the compiler knew and of the program's digest: the same program has the same bill.
func bill(info *debug.BuildInfo, sum [32]byte, version, date string) bom {
	b := bom{Format: "CycloneDX", Spec: "1.5", Version: 1, Serial: uuid(sum), Meta: meta{
		Time: date,
		Component: component{Type: "application", Ref: info.Main.Path, Name: info.Main.Path, Version: version,
			Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}},
		Props: []property{},
	}}
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "GOARM" || s.Key == "vcs.revision" {
			b.Meta.Props = append(b.Meta.Props, property{"go:" + s.Key, s.Value})
		}
	}
	b.Components = append(b.Components, component{Type: "library", Ref: "std", Name: "std", Version: info.GoVersion, Purl: "pkg:golang/std@" + info.GoVersion})
	for _, m := range info.Deps {
		b.Components = append(b.Components, library(m))
	}
	return b
}

func library(m *debug.Module) component {
	if m.Replace != nil {
		m = m.Replace
	}
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	return component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, Purl: purl}
}

// uuid is of version 8, out of the program's digest (RFC 9562 section 5.8).
func uuid(sum [32]byte) string {
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// man writes the manual pages of a program that is made with cobra, one for each command, out of what its --help says: so
// the program carries neither the pages nor the code that makes them.
//
//	man -program ./provision -out man -version 1.2.3 -date 2026-01-31
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	program := flag.String("program", "", "the program, which has to run on this machine")
	out := flag.String("out", "", "folder for the pages")
	version := flag.String("version", "unknown", "the program's version, for the foot of the pages")
	date := flag.String("date", "", "its date, YYYY-MM-DD")
	flag.Parse()
	if err := run(*program, *out, *version, *date); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func run(program, out, version, date string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	ask := func(words []string) (string, error) {
		text, err := exec.Command(program, append(words[1:len(words):len(words)], "--help")...).Output()
		if err != nil {
			return "", fmt.Errorf("cannot ask for the help of %q: %w", strings.Join(words, " "), err)
		}
		return string(text), nil
	}
	name := strings.TrimSuffix(filepath.Base(program), ".exe")
	all, err := pages(ask, []string{name}, "")
	if err != nil {
		return err
	}
	for _, p := range all {
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestCompression) // no name and no time in it: the same pages are the same bytes
		if err != nil {
			return err
		}
		if _, err := z.Write([]byte(p.roff(version, date))); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, p.name()+".8.gz"), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

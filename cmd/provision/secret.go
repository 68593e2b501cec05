package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret is more bytes than any passphrase or password has.
const maxSecret = 512

// secret is what comes from a file, standard input or a person at a terminal, and never from an argument, which
// every user of a machine may see (proc(5), cmdline).
type secret struct {
	what, of string // "passphrase" of a network, "password" of a user
	none     error  // says how to give one
}

// firstLine is the first line of r without its end; empty where there is none.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxSecret)).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil {
		line, err = plainText(line)
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), err
}

// plainText is text without the byte order mark that Notepad and PowerShell begin a file with.
func plainText(text string) (string, error) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return "", usageError{errors.New("it is UTF-16, as Windows likes to write: save it as UTF-8")}
	}
	return strings.TrimPrefix(text, "\ufeff"), nil
}

// awaitLine is firstLine of a person, who may take her time: it ends with ctx, too.
func awaitLine(ctx context.Context, r io.Reader) (string, error) {
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() { // ends with the process where nobody answers
		text, err := firstLine(r)
		got <- answer{text, err}
	}()
	select {
	case a := <-got:
		return a.text, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// first is the first line of r.
func (s secret) first(r io.Reader) (string, error) { return s.judge(firstLine(r)) }

func (s secret) judge(line string, err error) (string, error) {
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read the %s: %w", s.what, err)
	case line == "":
		return "", s.none
	}
	return line, nil
}

// file is the first line of the file with this name.
func (s secret) file(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", usageError{fmt.Errorf("cannot read the %s: %w", s.what, err)}
	}
	defer f.Close()
	return s.first(f)
}

// typed has somebody type it without showing it; false: stdin is no terminal where that can be.
func (s secret) typed(ctx context.Context, stdin io.Reader, ask io.Writer) (text string, ok bool, err error) {
	f, ok := stdin.(*os.File)
	if !ok {
		return "", false, nil
	}
	quiet, ok := silence(f)
	if !ok {
		return "", false, nil
	}
	defer quiet.restore()
	fmt.Fprintf(ask, "The %s of %q (it is not shown): ", s.what, visible(s.of))
	defer fmt.Fprintln(ask)
	line, err := awaitLine(ctx, f)
	if cause := context.Cause(ctx); cause != nil {
		return "", true, cause
	}
	text, err = s.judge(line, err)
	return text, true, err
}

package fetch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Bounds of an answer's head.
const (
	mostLine    = 8 << 10
	mostHead    = 64 << 10
	mostInterim = 8
)

// head is what is used of an answer's head.
type head struct {
	status   int
	chunked  bool
	length   int64 // -1: not told
	untilEnd bool  // the end of the connection is that of the document
	location string
	etag     string
	modified string
	after    time.Duration
}

// lines reads lines that end with CRLF, or LF alone (RFC 9112 section 2.2), and not more than left
// bytes of them.
type lines struct {
	in   *bufio.Reader
	left int
}

func (l *lines) next() (string, error) {
	var line []byte
	for {
		part, err := l.in.ReadSlice('\n')
		l.left -= len(part)
		line = append(line, part...)
		switch {
		case l.left < 0, len(line) > mostLine:
			return "", errors.New("the answer's head is too long")
		case err == nil:
			return strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), nil
		case err != bufio.ErrBufferFull:
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
	}
}

// readHead reads the head of the final answer (RFC 9112 sections 4 and 5); those before it (1xx) are
// passed over.
func readHead(in *bufio.Reader) (head, error) {
	for range mostInterim {
		h, err := readOne(&lines{in, mostHead})
		if err != nil || h.status >= 200 {
			return h, err
		}
	}
	return head{}, errors.New("the server only says that it will answer")
}

func readOne(l *lines) (head, error) {
	h := head{length: -1}
	line, err := l.next()
	if err != nil {
		return h, err
	}
	// HTTP/1.1 200 OK
	if len(line) < 12 || line[:7] != "HTTP/1." || line[7] < '0' || line[7] > '9' || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return h, errors.New("the answer is no HTTP/1.1")
	}
	code, err := strconv.ParseUint(line[9:12], 10, 16)
	if err != nil || code < 100 || code > 599 {
		return h, fmt.Errorf("the answer has the status %q", line[9:12])
	}
	h.status = int(code)
	old := line[7] == '0'
	for {
		line, err := l.next()
		if err != nil {
			return h, err
		}
		if line == "" {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			return h, errors.New("a line of the answer's head is folded") // RFC 9112 section 5.2
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return h, errors.New("a line of the answer's head is none")
		}
		if err := h.field(strings.ToLower(name), strings.Trim(value, " \t")); err != nil {
			return h, err
		}
	}
	if h.chunked && old {
		return h, errors.New("an answer of HTTP/1.0 comes in chunks") // RFC 9112 section 6.1
	}
	if h.chunked && h.length >= 0 {
		return h, errors.New("the answer has two lengths") // RFC 9112 section 6.3
	}
	h.untilEnd = !h.chunked && h.length < 0
	return h, nil
}

func (h *head) field(name, value string) error {
	switch name {
	case "content-length":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || h.length >= 0 && h.length != int64(n) {
			return fmt.Errorf("the answer has the length %q", value)
		}
		h.length = int64(n)
	case "transfer-encoding":
		if h.chunked || !strings.EqualFold(value, "chunked") {
			return fmt.Errorf("the answer is encoded as %q, which was not asked for", value)
		}
		h.chunked = true
	case "content-encoding":
		if value != "" && !strings.EqualFold(value, "identity") {
			return fmt.Errorf("the answer is encoded as %q, which was not asked for", value)
		}
	case "location":
		h.location = value
	case "etag":
		h.etag = printable(value)
	case "last-modified":
		h.modified = printable(value)
	case "retry-after":
		if n, err := strconv.ParseUint(value, 10, 31); err == nil {
			h.after = time.Duration(n) * time.Second
		}
	}
	return nil
}

// printable is a value that can be sent back, or nothing.
func printable(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
		return ""
	}
	return s
}

// copy takes the document over, most bytes of it at most.
func (h head) copy(to io.Writer, in *bufio.Reader, most int64) (int64, error) {
	switch {
	case h.chunked:
		return copyChunks(to, in, most)
	case h.length > most:
		return 0, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, h.length, most)
	case h.length >= 0:
		n, err := io.CopyN(to, in, h.length)
		if err == io.EOF {
			err = fmt.Errorf("%w: %d of %d bytes", ErrTorn, n, h.length)
		}
		return n, err
	}
	n, err := io.Copy(to, io.LimitReader(in, most))
	if err != nil {
		return n, err
	}
	if _, err := in.ReadByte(); err == nil {
		return n, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
	} else if err != io.EOF {
		return n, err
	}
	return n, nil
}

// copyChunks decodes chunks (RFC 9112 section 7.1).
func copyChunks(to io.Writer, in *bufio.Reader, most int64) (int64, error) {
	var sum int64
	for {
		l := lines{in, mostLine}
		line, err := l.next()
		if err != nil {
			return sum, err
		}
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.TrimRight(size, " \t"), 16, 62)
		if err != nil {
			return sum, errors.New("a part of the answer has no length")
		}
		if n == 0 {
			break
		}
		if int64(n) > most-sum {
			return sum, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most)
		}
		got, err := io.CopyN(to, in, int64(n))
		sum += got
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return sum, err
		}
		l = lines{in, 2}
		if line, err := l.next(); err != nil || line != "" {
			return sum, errors.Join(errors.New("a part of the answer does not end"), err)
		}
	}
	l := lines{in, mostHead}
	for { // trailers
		if line, err := l.next(); err != nil || line == "" {
			return sum, err
		}
	}
}

package fetch

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func answer(text string, most int64) (head, string, error) {
	in := bufio.NewReader(strings.NewReader(text))
	h, err := readHead(in)
	if err != nil {
		return h, "", err
	}
	var b bytes.Buffer
	_, err = h.copy(&b, in, most)
	return h, b.String(), err
}

func TestMessages(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tc := range []struct{ name, text, body, wrong string }{
		{"length", ok + "Content-Length: 3\r\n\r\nabcde", "abc", ""},
		{"the same twice", ok + "Content-Length: 3\r\ncontent-length:3\r\n\r\nabc", "abc", ""},
		{"LF alone", "HTTP/1.1 200\nContent-Length: 3\n\nabc", "abc", ""},
		{"chunks", ok + "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n01\r\nc\r\n0\r\nX: y\r\n\r\n", "abc", ""},
		{"until the end", ok + "\r\nabc", "abc", ""},
		{"interim", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n", "", ""},
		{"two lengths", ok + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "", "the length"},
		{"smuggled", ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", "two lengths"},
		{"signed", ok + "Content-Length: +3\r\n\r\nabc", "", "the length"},
		{"encoded", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", "", "not asked for"},
		{"chunks of HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", "HTTP/1.0"},
		{"folded", ok + "X: y\r\n z\r\n\r\n", "", "folded"},
		{"blank before the colon", ok + "X : y\r\n\r\n", "", "is none"},
		{"no colon", ok + "what\r\n\r\n", "", "is none"},
		{"other protocol", "SSH-2.0-OpenSSH_9.2p1\r\n", "", "no HTTP"},
		{"status", "HTTP/1.1 2x0 OK\r\n\r\n", "", "the status"},
		{"torn head", "HTTP/1.1 200 OK\r\nX: y", "", "EOF"},
		{"long line", ok + "X: " + strings.Repeat("y", mostLine) + "\r\n\r\n", "", "too long"},
		{"long head", ok + strings.Repeat("X: y\r\n", mostHead/5) + "\r\n", "", "too long"},
		{"only interim", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 9), "", "only says"},
		{"torn chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", "ab", "EOF"},
		{"no end of a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", "ab", "does not end"},
		{"no last chunk", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "ab", "EOF"},
		{"huge chunk", ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "", "no length"},
		{"large chunk", ok + "Transfer-Encoding: chunked\r\n\r\n3fffffffffffffff\r\n", "", "too large"},
	} {
		_, body, err := answer(tc.text, 100)
		if tc.wrong == "" && err != nil || tc.wrong != "" && (err == nil || !strings.Contains(err.Error(), tc.wrong)) || body != tc.body {
			t.Errorf("%s: %q, %v", tc.name, body, err)
		}
	}
}

// FuzzAnswer: whatever a server sends, reading it ends, keeps its bounds, and where the standard
// library takes the same message, the document is the same.
func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"x\"\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n")
	f.Add("HTTP/1.1 302 Found\r\nLocation: /x\r\nRetry-After: 5\r\n\r\n")
	f.Add("HTTP/1.0 200 OK\r\n\r\nabc")
	f.Fuzz(func(t *testing.T, text string) {
		h, body, err := answer(text, 50)
		if len(body) > 50 {
			t.Fatalf("%d bytes", len(body))
		}
		if err != nil || h.status != 200 {
			return
		}
		r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), &http.Request{Method: "GET"})
		if err != nil || r.StatusCode != 200 {
			return
		}
		want, err := io.ReadAll(io.LimitReader(r.Body, 51))
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return
		}
		if string(want) != body {
			t.Errorf("%q, the standard library reads %q", body, want)
		}
	})
}

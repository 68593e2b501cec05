//go:build !arm

package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// What a person has to type before a card is erased; the words of the phrase, and nothing else, will do.
func TestConfirmFlash(t *testing.T) {
	const phrase = "SanDisk Ultra 31.9 GB"
	for _, tt := range []struct {
		typed string
		ok    bool
	}{
		{phrase + "\n", true}, {"sandisk  ultra 31.9gb\r\n", true}, {phrase, true},
		{"", false}, {"\n", false}, {"y\n", false}, {"yes\n", false}, {"SanDisk Ultra\n", false}, {"SanDisk Ultra 63.9 GB\n", false}, {phrase + " or so\n", false},
		{strings.Repeat(" ", 2*maxSecret) + phrase + "\n", false},
	} {
		var usage usageError
		switch err := confirm(t.Context(), strings.NewReader(tt.typed), io.Discard, phrase); {
		case tt.ok && err != nil:
			t.Errorf("%q: %v", tt.typed, err)
		case !tt.ok && !errors.As(err, &usage):
			t.Errorf("%q is taken: %v", tt.typed, err)
		}
	}
	// Who has interrupted it has not confirmed, whatever was typed.
	gone := errors.New("interrupted")
	ctx, stop := context.WithCancelCause(t.Context())
	stop(gone)
	for _, in := range []io.Reader{strings.NewReader(phrase + "\n"), blocked{}} {
		if err := confirm(ctx, in, io.Discard, phrase); !errors.Is(err, gone) {
			t.Errorf("%T: %v", in, err)
		}
	}
	if err := confirm(t.Context(), broken{}, io.Discard, phrase); err == nil || !strings.Contains(err.Error(), "cannot read the confirmation") {
		t.Errorf("a terminal that fails: %v", err)
	}
}

type blocked struct{}

func (blocked) Read([]byte) (int, error) { select {} }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

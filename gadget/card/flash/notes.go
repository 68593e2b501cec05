package flash

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Notes is a folder with a file for each card that is half-written. Losing it costs no more than beginning anew.
type Notes string

// DefaultNotes is the folder in this account's cache; "" where it has none.
func DefaultNotes() Notes {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return Notes(filepath.Join(dir, "provision", "flash"))
}

// State is up to where a card is written.
type State struct {
	Token string `json:"token"`
	// Image, Packed and Modified tell whether it is the same file; Prefix whether what is in it is the same.
	Image    string    `json:"image"`
	Packed   int64     `json:"packed_bytes"`
	Modified time.Time `json:"modified"`
	// Written bytes from the beginning are on the card, but for the first Piece, and Prefix is the SHA-256 of as many of the image.
	Written int64     `json:"written_bytes"`
	Prefix  string    `json:"prefix_sha256"`
	Device  string    `json:"device"`
	Size    int64     `json:"device_bytes"`
	When    time.Time `json:"when"`
}

// keep is how long files of cards that nobody came back with are kept.
const keep = 30 * 24 * time.Hour

func (n Notes) file(token string) string { return filepath.Join(string(n), token+".json") }

// Load is the state of the card with a token; false where there is none, or none that can be believed.
func (n Notes) Load(token string) (State, bool) {
	if n == "" {
		return State{}, false
	}
	text, err := os.ReadFile(n.file(token))
	if err != nil {
		return State{}, false
	}
	s, err := parseState(text)
	return s, err == nil && s.Token == token
}

// parseState refuses what no card can be continued from.
func parseState(text []byte) (State, error) {
	var s State
	if err := json.Unmarshal(text, &s); err != nil {
		return State{}, err
	}
	if sum, err := hex.DecodeString(s.Prefix); err != nil || len(sum) != 32 || s.Written < Piece || s.Written%Piece != 0 || s.Written > s.Size {
		return State{}, errors.New("it does not say up to where")
	}
	return s, nil
}

// Save writes a state durably: old or new, whatever comes in between.
func (n Notes) Save(s State) error {
	if n == "" {
		return nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(n), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(string(n), "."+s.Token+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), n.file(s.Token))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("cannot note how far the card is written: %w", err)
	}
	return nil
}

// Remove forgets a card, and those that nobody came back with.
func (n Notes) Remove(token string, now time.Time) {
	if n == "" {
		return
	}
	_ = os.Remove(n.file(token))
	files, err := os.ReadDir(string(n))
	if err != nil {
		return
	}
	for _, f := range files {
		info, err := f.Info()
		if err == nil && info.Mode()&fs.ModeType == 0 && (strings.HasSuffix(f.Name(), ".json") || strings.HasPrefix(f.Name(), ".")) && now.Sub(info.ModTime()) > keep {
			_ = os.Remove(filepath.Join(string(n), f.Name()))
		}
	}
}

package provision

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"unicode/utf8"
)

// stateVersion is the format that this program writes. It reads this one and all
// older ones, and refuses newer ones.
const stateVersion = 1

// maxState bounds one state file in bytes.
const maxState = 64 << 20

const stateMagic = "provision-state"

// headRoom is what a header takes at the most, in bytes.
const headRoom = 256

// encodeState frames a body: one line with magic, format, kind, length and
// checksum, then the body and a newline. Journal lines may follow.
func encodeState(kind string, body any) ([]byte, error) {
	b, err := marshal(make([]byte, headRoom), body) // a body may be large, and the header says how large
	if err != nil {
		return nil, fmt.Errorf("cannot encode %s: %w", kind, err)
	}
	js := b[headRoom:]
	if len(js) > maxState/2 {
		return nil, fmt.Errorf("cannot keep a %s of %d bytes, the limit is %d", kind, len(js), maxState/2)
	}
	sum := sha256.Sum256(js)
	head := fmt.Appendf(nil, "%s %d %s %d %s\n", stateMagic, stateVersion, kind, len(js), hex.EncodeToString(sum[:]))
	b = append(b, '\n')[headRoom-len(head):]
	copy(b, head)
	return b, nil
}

// decodeState takes a frame apart. What follows the body is returned as tail.
func decodeState(file, kind string, data []byte, body any) (tail []byte, err error) {
	damaged := func(format string, args ...any) error {
		return &CorruptError{File: file, Why: fmt.Sprintf(format, args...)}
	}
	line, rest, ok := bytes.Cut(data, []byte("\n"))
	if !ok || len(line) > 256 {
		return nil, damaged("it has no header")
	}
	f := strings.Split(string(line), " ")
	if len(f) < 2 || f[0] != stateMagic {
		return nil, damaged("it has no header")
	}
	version, err := strconv.Atoi(f[1])
	if err != nil || version < 1 {
		return nil, damaged("its header is malformed")
	}
	if version > stateVersion {
		return nil, &VersionError{File: file, Version: version, Known: stateVersion}
	}
	if len(f) != 5 || f[2] != kind {
		return nil, damaged("its header is not that of a %s", kind)
	}
	n, err := strconv.Atoi(f[3])
	if err != nil || n < 0 || n >= len(rest) {
		return nil, damaged("it is cut off")
	}
	if rest[n] != '\n' {
		return nil, damaged("its length is wrong")
	}
	sum := sha256.Sum256(rest[:n])
	if f[4] != hex.EncodeToString(sum[:]) {
		return nil, damaged("its checksum is wrong")
	}
	if err := unmarshal(rest[:n], body); err != nil {
		return nil, damaged("its body is malformed: %v", err)
	}
	return rest[n+1:], nil
}

// encodeLine frames one journal record.
func encodeLine(rec record) ([]byte, error) {
	js, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("cannot encode a journal record: %w", err)
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(js), js), nil
}

// decodeLines reads journal records and returns how many bytes of tail they fill. A
// torn end is what a power cut leaves of an append that was never synced, so nothing
// has happened because of it: it is dropped. Anything else that does not fit is
// damage.
func decodeLines(file string, tail []byte) (recs []record, whole int, err error) {
	for whole < len(tail) {
		line, rest, ended := bytes.Cut(tail[whole:], []byte("\n"))
		rec, ok := decodeLine(line)
		switch {
		case ok && ended:
			recs = append(recs, rec)
			whole = len(tail) - len(rest)
		case len(bytes.Trim(rest, "\x00")) == 0:
			return recs, whole, nil
		default:
			return nil, 0, &CorruptError{File: file, Why: fmt.Sprintf("journal record %d is malformed", len(recs)+1)}
		}
	}
	return recs, whole, nil
}

func decodeLine(line []byte) (record, bool) {
	var rec record
	if len(line) < 10 || line[8] != ' ' {
		return rec, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.ChecksumIEEE(line[9:]) {
		return rec, false
	}
	return rec, json.Unmarshal(line[9:], &rec) == nil
}

// armour makes a string of any bytes survive JSON, which would replace what is not
// UTF-8 without a word. Text stays readable.
func armour(s string) string {
	if utf8.ValidString(s) && !strings.HasPrefix(s, "\x00") {
		return s
	}
	return "\x00" + base64.StdEncoding.EncodeToString([]byte(s))
}

var errArmour = errors.New("a byte string is malformed")

func unarmour(s string) (string, error) {
	if !strings.HasPrefix(s, "\x00") {
		return s, nil
	}
	b, err := base64.StdEncoding.DecodeString(s[1:])
	if err != nil {
		return "", errArmour
	}
	return string(b), nil
}

// text is a string that is armoured in JSON.
type text string

// MarshalText implements encoding.TextMarshaler.
func (t text) MarshalText() ([]byte, error) { return []byte(armour(string(t))), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *text) UnmarshalText(b []byte) error {
	s, err := unarmour(string(b))
	*t = text(s)
	return err
}

// MarshalText writes "kind:name", armoured where that could not be read back.
func (r wireRef) MarshalText() ([]byte, error) {
	if plain := r.Kind + ":" + r.Name; armour(plain) == plain && !strings.Contains(r.Kind, ":") {
		return []byte(plain), nil
	}
	return []byte("\x00" + base64.StdEncoding.EncodeToString([]byte(r.Kind)) + ":" + base64.StdEncoding.EncodeToString([]byte(r.Name))), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *wireRef) UnmarshalText(b []byte) error {
	s, armoured := strings.CutPrefix(string(b), "\x00")
	kind, name, ok := strings.Cut(s, ":")
	if !ok {
		return errors.New("a reference is malformed")
	}
	if armoured {
		k, err1 := base64.StdEncoding.DecodeString(kind)
		n, err2 := base64.StdEncoding.DecodeString(name)
		if err1 != nil || err2 != nil {
			return errArmour
		}
		kind, name = string(k), string(n)
	}
	r.Kind, r.Name = kind, name
	return nil
}

// MarshalJSON writes keys and values in turn, sorted; nil is null, so that absent
// and empty differ.
func (w wireAttrs) MarshalJSON() ([]byte, error) {
	if w == nil {
		return []byte("null"), nil
	}
	flat := make([]string, 0, 2*len(w))
	for _, k := range Attrs(w).keys() {
		flat = append(flat, armour(k), armour(w[k]))
	}
	return json.Marshal(flat)
}

// UnmarshalJSON implements json.Unmarshaler.
func (w *wireAttrs) UnmarshalJSON(b []byte) error {
	var flat []string
	if err := json.Unmarshal(b, &flat); err != nil {
		return err
	}
	if *w = nil; flat == nil {
		return nil
	}
	if len(flat)%2 != 0 {
		return errors.New("an attribute has no value")
	}
	*w = make(wireAttrs, len(flat)/2)
	for i := 0; i < len(flat); i += 2 {
		key, err := unarmour(flat[i])
		if err != nil {
			return err
		}
		if (*w)[key], err = unarmour(flat[i+1]); err != nil {
			return err
		}
	}
	return nil
}

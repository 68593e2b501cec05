package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program is the shortest ELF file with one program header of the given type.
func program(t *testing.T, kind elf.ProgType) string {
	t.Helper()
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	var b bytes.Buffer
	for _, part := range []any{h, elf.Prog64{Type: uint32(kind)}} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return write(t, b.Bytes())
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name, path string
		ceiling    int64
		want       string
	}{
		{"static", program(t, elf.PT_LOAD), 200, ""},
		{"dynamic", program(t, elf.PT_INTERP), 200, "not static"},
		{"too large", program(t, elf.PT_LOAD), 100, "over the ceiling of 100"},
		{"another system's", write(t, []byte("MZ\x90\x00 and so on")), 1, ""},
		{"broken", write(t, []byte(elf.ELFMAG+"\x02\x01\x01 and so on")), 200, "EOF"},
		{"missing", filepath.Join(t.TempDir(), "none"), 1, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			err := judge(&out, c.path, c.ceiling)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

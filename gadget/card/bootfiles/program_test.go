package bootfiles

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// narrow is the head of a static program for ARM, and what it says of itself.
func narrow(says string) []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF\x01\x01\x01")
	b[18] = 40 // EM_ARM
	return append(b, says...)
}

func TestReadProgram(t *testing.T) {
	for says, want := range map[string]int{"": 0, "\nbuild\tGOARM=7\n": 7, "\nbuild\tGOARM=6,softfloat\n": 6, "\nbuild\tGOARM=a text\nbuild\tGOARM=5\n": 5, "\nbuild\tGOARM=": 0, "\nbuild\tGOARM=7": 0} {
		if p, err := ReadProgram(narrow(says)); err != nil || p != (Program{32, want}) {
			t.Errorf("%q: %+v %v", says, p, err)
		}
	}
	other := narrow("")
	other[18] = 62 // EM_X86_64
	dynamic := narrow("")
	binary.LittleEndian.PutUint32(dynamic[28:], 52) // one program header, right behind
	binary.LittleEndian.PutUint16(dynamic[42:], 32)
	binary.LittleEndian.PutUint16(dynamic[44:], 1)
	dynamic[52] = 3 // PT_INTERP
	for says, b := range map[string][]byte{"no program of Linux": []byte("#!/bin/sh\n"), "another processor": other, "dynamically": dynamic} {
		if _, err := ReadProgram(b); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	binary.LittleEndian.PutUint16(dynamic[44:], 0xffff) // headers beyond the end
	binary.LittleEndian.PutUint32(dynamic[28:], 0xfffffff0)
	if _, err := ReadProgram(dynamic); err != nil {
		t.Error(err)
	}
}

func TestFits(t *testing.T) {
	f := files{"config.txt": "include more.txt\n", "more.txt": "include config.txt\narm_64bit=0\n"}
	for _, c := range []struct {
		p     Program
		model string
		says  string
	}{
		{Program{32, 7}, "Raspberry Pi Zero W", "it is for ARMv7, and a Raspberry Pi Zero W has ARMv6"},
		{Program{32, 7}, "Raspberry Pi 2 Model B", ""},
		{Program{32, 7}, "", ""},
		{Program{32, 6}, "Raspberry Pi Zero W", ""},
		{Program{64, 8}, "", "arm_64bit=0"},
		{Program{64, 8}, "Raspberry Pi 5 Model B", ""},
	} {
		if err := c.p.Fits(f.read, c.model); (err == nil) != (c.says == "") || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%+v %s: %v", c.p, c.model, err)
		}
	}
}

package vbox

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// cmdExe is what cmd.exe's prompt makes of a line: %NAME% of variables that are set, then carets and quotation marks
// ("help cmd"; the variables that are not set stay). It fails where the line would be more than one command.
func cmdExe(line string, env map[string]string) (string, bool) {
	var expanded strings.Builder
	for i := 0; i < len(line); {
		if line[i] == '%' {
			if end := strings.IndexByte(line[i+1:], '%'); end >= 0 {
				if value, ok := env[line[i+1:i+1+end]]; ok {
					expanded.WriteString(value)
					i += end + 2
					continue
				}
			}
		}
		expanded.WriteByte(line[i])
		i++
	}
	line = expanded.String()
	var out strings.Builder
	quoted := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '^' && !quoted:
			if i++; i < len(line) {
				out.WriteByte(line[i])
			}
			continue
		case c == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte("&|<>", c) >= 0:
			return "", false
		}
		out.WriteByte(c)
	}
	return out.String(), true
}

// argvW is CommandLineToArgvW, with the rule of Microsoft's C runtime that "" inside quotation marks is one of them
// ("Parsing C command-line arguments").
func argvW(line string) []string {
	var out []string
	i := 0
	for {
		for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
			i++
		}
		if i == len(line) {
			return out
		}
		var b strings.Builder
		quoted := false
		if len(out) == 0 { // the program: quotation marks alone mean something
			for ; i < len(line) && (quoted || line[i] != ' ' && line[i] != '\t'); i++ {
				if line[i] == '"' {
					quoted = !quoted
				} else {
					b.WriteByte(line[i])
				}
			}
			out = append(out, b.String())
			continue
		}
		for i < len(line) && (quoted || line[i] != ' ' && line[i] != '\t') {
			slashes := 0
			for i < len(line) && line[i] == '\\' {
				slashes, i = slashes+1, i+1
			}
			if i == len(line) || line[i] != '"' {
				b.WriteString(strings.Repeat(`\`, slashes))
				if i < len(line) && (quoted || line[i] != ' ' && line[i] != '\t') {
					b.WriteByte(line[i])
					i++
				}
				continue
			}
			b.WriteString(strings.Repeat(`\`, slashes/2))
			i++
			switch {
			case slashes%2 == 1:
				b.WriteByte('"')
			case quoted && i < len(line) && line[i] == '"':
				b.WriteByte('"')
				i++
			default:
				quoted = !quoted
			}
		}
		out = append(out, b.String())
	}
}

// The judge reads the examples of Microsoft's page.
func TestTheJudge(t *testing.T) {
	for line, want := range map[string][]string{
		`x "abc" d e`:         {"x", "abc", "d", "e"},
		`x a\\b d"e f"g h`:    {"x", `a\\b`, "de fg", "h"},
		`x a\\\"b c d`:        {"x", `a\"b`, "c", "d"},
		`x a\\\\"b c" d e`:    {"x", `a\\b c`, "d", "e"},
		`"c:\a b\c" "d\\" ""`: {"x", `d\`, ""},
	} {
		got := argvW(line)
		if len(got) > 0 && got[0] == `c:\a b\c` {
			got[0] = "x"
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	if got, ok := cmdExe(`a ^& "b & c" ^"%PATH^% %PATH%`, map[string]string{"PATH": "P"}); !ok || got != `a & "b & c" "%PATH% P` {
		t.Errorf("%q, %v", got, ok)
	}
	if _, ok := cmdExe("a & b", nil); ok {
		t.Error("two commands are taken for one")
	}
}

func strangeNames() []string {
	return []string{"eth0", "Intel(R) Dual Band Wireless-AC 8260", `C:\Program Files\Oracle\VirtualBox\`, "", " ", `a"b`, `a\"b`, `\\`, `a b\\`, `"`, `a&b`, "a|b", "a^b", "a<b>c",
		"100%", "%PATH%", `"%PATH%"`, "%PATH^%", "x!y", "it's", "Büro Ethernet", `a "&calc.exe&" b`, "a,b;c=d", "$HOME `id`", "--nic2", "a\tb"}
}

func TestLineForWindows(t *testing.T) {
	env := map[string]string{"PATH": "expanded", "OS": "Windows_NT"}
	for _, a := range strangeNames() {
		argv := []string{`C:\Program Files\x.exe`, a, "last", a}
		line, err := Line("windows", argv)
		if err != nil {
			t.Fatal(err)
		}
		plain, ok := cmdExe(line, env)
		if got := argvW(plain); !ok || !slices.Equal(got, argv) {
			t.Errorf("%q is typed as %s and becomes %q", argv, line, got)
		}
	}
	// The ordinary case looks ordinary.
	line, err := PsExec("PsExec64.exe", []string{DefaultVBoxManage, "modifyvm", "witty-kelpie", "--nic2", "bridged", "--bridgeadapter2", "Intel(R) Ethernet Connection I219-LM"})
	want := `PsExec64.exe -accepteula -s "C:\Program Files\Oracle\VirtualBox\VBoxManage.exe" modifyvm witty-kelpie --nic2 bridged --bridgeadapter2 "Intel(R) Ethernet Connection I219-LM"`
	if err != nil || line != want {
		t.Errorf("%s, %v", line, err)
	}
	if _, err := PsExec("PsExec64.exe", []string{"a", `b"c`}); !errors.Is(err, ErrUsage) {
		t.Errorf("%v", err)
	}
	for _, a := range []string{"a\nb", "a\rb", "a\x00b"} {
		if _, err := Line("windows", []string{a}); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %v", a, err)
		}
	}
}

// A real shell takes the other form apart.
func TestLineForShells(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skipf("there is no shell to ask: %v", err)
	}
	for _, a := range strangeNames() {
		line, err := Line("linux", []string{"printf", "%s\\n", a, "last"})
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(sh, "-c", line).Output(); err != nil || string(out) != a+"\nlast\n" {
			t.Errorf("%q is typed as %s: %q, %v", a, line, out, err)
		}
	}
}

func FuzzLineForWindows(f *testing.F) {
	for _, a := range strangeNames() {
		f.Add(a, "b c")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		argv := []string{"x", a, b}
		line, err := Line("windows", argv)
		if err != nil {
			return
		}
		plain, ok := cmdExe(line, map[string]string{"PATH": "expanded", "a": "b", "": "empty"})
		if got := argvW(plain); !ok || !slices.Equal(got, argv) {
			t.Errorf("%q is typed as %s and becomes %q", argv, line, got)
		}
	})
}

package vbox

import (
	"slices"
	"strings"
)

// Line is a command as it is typed at a prompt of this operating system (a GOOS): cmd.exe's on windows, sh's elsewhere.
func Line(goos string, argv []string) (string, error) {
	words := make([]string, len(argv))
	for i, a := range argv {
		if strings.ContainsAny(a, "\x00\r\n") {
			return "", fault(ErrUsage, "%q has a line break or a NUL, and cannot be typed", a)
		}
		if goos == "windows" {
			words[i] = cmdWord(a)
		} else {
			words[i] = shWord(a)
		}
	}
	return strings.Join(words, " "), nil
}

func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:\\+", r)
}

// word is for advice that is read at either prompt: both take such quotes around ordinary names.
func word(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return `"` + s + `"`
}

// shWord quotes a word for a POSIX shell (XCU section 2.2.2).
func shWord(s string) string {
	if s != "" && !strings.Contains(s, `\`) && strings.IndexFunc(s, func(r rune) bool { return !plain(r) && r != '=' && r != ',' }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// cmdWord quotes a word for the prompt of cmd.exe and then for CommandLineToArgvW, by which the program that is started
// takes its command line apart: a quotation mark is written \", and backslashes count only before one, where they are
// doubled.
//
// cmd.exe knows nothing of \": it switches at each quotation mark between minding &|<>()^ and not. So a word that has
// one is written with a caret before each of its characters that mean something to cmd.exe, the quotation marks
// included: it never comes into the state of not minding. A per cent sign is minded in both states; at the prompt (not
// in a batch file) a caret keeps it, since no variable's name ends with a caret.
func cmdWord(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	slashes := 0
	for i := range len(s) {
		switch s[i] {
		case '\\':
			slashes++
		case '"':
			b.WriteString(strings.Repeat(`\`, slashes+1)) // those before it are doubled, and one is its own
			slashes = 0
		default:
			slashes = 0
		}
		b.WriteByte(s[i])
	}
	b.WriteString(strings.Repeat(`\`, slashes)) // the mark at the end comes after them
	b.WriteByte('"')
	word := b.String()
	if !strings.ContainsAny(s, `"%`) {
		return word
	}
	var out strings.Builder
	for i := range len(word) {
		if strings.IndexByte(`()%!^"<>&|`, word[i]) >= 0 {
			out.WriteByte('^')
		}
		out.WriteByte(word[i])
	}
	return out.String()
}

// PsExec is a line for an administrator's prompt on Windows that runs a program in the account SYSTEM, to which
// Multipass' VMs belong: VBoxManage of any other account does not see them. How PsExec hands on quotation marks is
// written nowhere, so an argument with one is refused.
func PsExec(psexec string, argv []string) (string, error) {
	if i := slices.IndexFunc(argv, func(a string) bool { return strings.Contains(a, `"`) }); i >= 0 {
		return "", fault(ErrUsage, "%q has a quotation mark, which PsExec does not hand on: use another name", argv[i])
	}
	return Line("windows", append([]string{psexec, "-accepteula", "-s"}, argv...))
}

package bootfiles

import (
	"fmt"
	"path"
	"strings"
)

// ScriptName and LogName are files on the boot partition.
const (
	ScriptName = "provision-first-boot.sh"
	LogName    = "provision-first-boot.log"
)

// Install is a file of the boot partition that the first boot puts into the system.
type Install struct {
	From string // on the boot partition
	To   string // absolute; empty for what is only to be wiped
	Mode uint32 // 0600
	// Secret: what is on the boot partition, which everybody can read, is written over
	// with zeros and removed as soon as the copy is on the disk.
	Secret bool
}

// hookWords are what makes systemd run the script instead of booting on
// (systemd-run-generator(8)), and reboot when it has ended well.
func hookWords(dir string) []string {
	return []string{"systemd.run=" + path.Join(dir, ScriptName), "systemd.run_success_action=reboot", "systemd.unit=kernel-command-line.target"}
}

// Script is the first boot's script: dir is where the boot partition is mounted,
// commands are argument lists that are run after all files are in place.
//
// It ends with 0 whatever happens, because systemd powers the board off otherwise; the
// hook is the first thing to go, so that a boot that is cut short is not tried for
// ever; errors are for whoever takes the card out: they go to a file beside it. At
// this time there is neither network nor D-Bus, so it writes files and no more.
func Script(dir string, installs []Install, commands [][]string) (string, error) {
	var s strings.Builder
	fmt.Fprintf(&s, `#!/bin/sh
# Made by provision. It runs once, at the first boot, and takes itself away.
# It must end with 0: systemd powers the board off otherwise.
trap 'exit 0' EXIT
trap 'exit 0' HUP INT TERM
boot=%s
mount -o remount,rw "$boot" 2>/dev/null
log=$boot/%s
(: >>"$log") 2>/dev/null && exec >>"$log" 2>&1 # a redirection of exec that fails ends the shell
say() { printf '%%s %%s\n' "$(date -u +%%Y-%%m-%%dT%%H:%%M:%%SZ)" "$*"; }
say "first boot"
# The hook goes first. The rest of the line may have changed since: words only.
if sed -e 's/ systemd\.run=[^ ]*%s//' -e 's/ systemd\.run_success_action=reboot//' -e 's/ systemd\.unit=kernel-command-line\.target//' \
  "$boot/cmdline.txt" >"$boot/cmdline.new" && [ -s "$boot/cmdline.new" ]; then
  mv -f "$boot/cmdline.new" "$boot/cmdline.txt" && sync || say "cannot take the hook out of cmdline.txt"
else
  say "cannot take the hook out of cmdline.txt"
fi
put() { # FROM TO MODE
  (umask 022; mkdir -p "$(dirname "$2")") && cp "$boot/$1" "$2.new" && chmod "$3" "$2.new" && mv -f "$2.new" "$2" && say "$2" && return
  rm -f "$2.new"; say "cannot put $1 to $2"; return 1
}
wipe() { # FILE : zeros over what was there, then away with it
  [ -e "$boot/$1" ] || return 0
  size=$(wc -c <"$boot/$1") && head -c "$size" /dev/zero | dd of="$boot/$1" conv=notrunc,fsync 2>/dev/null && rm -f "$boot/$1" && return
  say "cannot wipe $1"
}
umask 077
`, quote(dir), LogName, strings.ReplaceAll(ScriptName, ".", `\.`))
	for _, i := range installs {
		if i.To == "" && i.Secret && !strings.ContainsAny(i.From, "\r\n\x00") {
			fmt.Fprintf(&s, "wipe %s\n", quote(i.From))
			continue
		}
		if !path.IsAbs(i.To) || strings.ContainsAny(i.From+i.To, "\r\n\x00") || i.Mode > 0o777 {
			return "", fmt.Errorf("cannot install %q to %q with mode %o", i.From, i.To, i.Mode)
		}
		fmt.Fprintf(&s, "put %s %s %04o", quote(i.From), quote(i.To), i.Mode)
		if i.Secret {
			fmt.Fprintf(&s, " && sync && wipe %s", quote(i.From))
		}
		s.WriteString("\n")
	}
	for _, c := range commands {
		var words []string
		for _, w := range c {
			if strings.ContainsAny(w, "\r\n\x00") {
				return "", fmt.Errorf("cannot run %q: it has more than one line", c)
			}
			words = append(words, quote(w))
		}
		line := strings.Join(words, " ")
		fmt.Fprintf(&s, "timeout 60 %s </dev/null || say %s\n", line, quote("failed: "+label(c)))
	}
	fmt.Fprintf(&s, "rmdir \"$boot/%s\" 2>/dev/null\nrm -f \"$boot/%s\"\nsay done\nsync\nexit 0\n", Folder, ScriptName)
	return s.String(), nil
}

// label names a command in the log; a program text of the shell is named by its $0.
func label(c []string) string {
	if len(c) > 3 && c[0] == "sh" && c[1] == "-c" {
		c = c[3:]
	}
	return strings.Join(c, " ")
}

// quote makes a word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

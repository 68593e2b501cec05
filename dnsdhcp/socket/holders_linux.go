package socket

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// holders names the programs that have a local port of udp or tcp open, as far as /proc tells.
func holders(proto string, port uint16) []string {
	inodes := map[string]bool{}
	for _, p := range []string{proto, proto + "6"} {
		f, err := os.Open("/proc/thread-self/net/" + p)
		if err != nil {
			continue
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if inode, ok := holding(s.Text(), port, strings.HasPrefix(proto, "tcp")); ok {
				inodes["socket:["+inode+"]"] = true
			}
		}
		f.Close()
	}
	if len(inodes) == 0 {
		return nil
	}
	var out []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid := filepath.Base(dir)
		if !holdsAny(dir, inodes) {
			continue
		}
		comm, _ := os.ReadFile(dir + "/comm")
		name := strings.TrimSpace(string(comm))
		if name == "" {
			name = "a program"
		}
		out = append(out, fmt.Sprintf("%s (pid %s)", strconv.QuoteToGraphic(name)[1:len(strconv.QuoteToGraphic(name))-1], pid))
	}
	slices.Sort(out)
	return out
}

func holdsAny(dir string, inodes map[string]bool) bool {
	fds, _ := filepath.Glob(dir + "/fd/*")
	return slices.ContainsFunc(fds, func(fd string) bool {
		to, err := os.Readlink(fd)
		return err == nil && inodes[to]
	})
}

// holding reads a line of /proc/net/udp or tcp (proc_pid_net(5)): the inode of the socket if it has this local port. Of
// TCP only listeners hold a port against others.
func holding(line string, port uint16, tcp bool) (inode string, ok bool) {
	const listening = "0A"
	w := strings.Fields(line)
	if len(w) < 10 || tcp && w[3] != listening {
		return "", false
	}
	_, hex, found := strings.Cut(w[1], ":")
	n, err := strconv.ParseUint(hex, 16, 16)
	return w[9], found && err == nil && uint16(n) == port
}

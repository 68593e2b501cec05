package provision

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lockPid asks the kernel who holds the flock on path, 0 when it does not say.
// proc_locks(5): "2: FLOCK  ADVISORY  WRITE 1548 08:01:139 0 EOF".
func lockPid(path string) int {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	data, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	inode := ":" + strconv.FormatUint(sys.Ino, 10)
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) >= 8 && f[1] == "FLOCK" && strings.HasSuffix(f[5], inode) {
			pid, _ := strconv.Atoi(f[4])
			return pid
		}
	}
	return 0
}

func processCommand(pid int) string {
	if pid == 0 {
		return ""
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	cmd := string(bytes.TrimSpace(bytes.ReplaceAll(data, []byte{0}, []byte{' '})))
	if len(cmd) > 200 {
		cmd = cmd[:200] + "..."
	}
	return cmd
}

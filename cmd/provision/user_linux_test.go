package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ordinary makes cmd run as nobody where the test runs as root.
func ordinary(cmd *exec.Cmd) {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
}

//go:build !linux

package provision

func lockPid(string) int { return 0 }

func processCommand(int) string { return "" }

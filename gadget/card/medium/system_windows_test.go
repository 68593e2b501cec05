package medium

import "golang.org/x/sys/windows"

var fullError error = windows.ERROR_DISK_FULL

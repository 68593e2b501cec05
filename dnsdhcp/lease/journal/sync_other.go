//go:build !linux

package journal

import "os"

type file struct{ *os.File }

//go:build !linux && !darwin && !windows

package flash

import "errors"

// Open opens nothing: on this system it is not known how.
func Open(string) (Target, error) {
	return nil, errors.New("cards are written on Linux, macOS and Windows only")
}

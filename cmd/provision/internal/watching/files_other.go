//go:build !linux

package watching

import "errors"

// Parameters fails: there are none.
func Parameters() (OpenFiles, error) {
	return nil, errors.New("kernel parameters can be written on Linux only")
}

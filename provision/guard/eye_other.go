//go:build !linux

package guard

import "errors"

func newEye([]*watched) (eye, error) {
	return nil, errors.New("SSH sessions can only be watched on Linux")
}

package nft

import "errors"

// ErrUnsupported is wrapped by errors about something that the running kernel does not have.
var ErrUnsupported = errors.New("the kernel cannot do this")

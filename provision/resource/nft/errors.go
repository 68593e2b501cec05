package nft

import "errors"

// ErrUnsupported is wrapped by errors about something that the running kernel does not have.
var ErrUnsupported = errors.New("the kernel cannot do this")

// ErrNoSet is wrapped by Learn and Forget where there is no such set, or no such table.
var ErrNoSet = errors.New("there is no such set")

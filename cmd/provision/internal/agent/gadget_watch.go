package agent

import "errors"

// ErrGadgetWatched: another process follows the gadgets already.
var ErrGadgetWatched = errors.New("another gadget watch is running")

// GadgetWatchOptions adjust GadgetWatch.
type GadgetWatchOptions struct {
	// Socket is where questions are answered; empty for nowhere.
	Socket string
	// Notify tells the service manager (sd_notify(3)).
	Notify func(state string)
	// Reload gives an agent with the configuration as it is now, when it is called for.
	Reload <-chan func() (*Agent, error)
}

// Package wguser is WireGuard devices in userspace (Linux), for kernels without them: Run is one, as a
// process of its own; Starter starts such processes and ends them.
//
// A device is a TUN device of its name, and a socket NAME.sock on which it speaks the text protocol
// of wg(8) (https://www.wireguard.com/xplatform/). It begins without a key, without peers and down,
// as the kernel's do, and is gone with its process. Whoever removes the network device ends the process.
package wguser

import "log/slog"

// Sockets is the directory where wg(8) looks for sockets.
const Sockets = "/var/run/wireguard"

// Options adjust Run.
type Options struct {
	Sockets string // empty for the directory of that name
	Log     *slog.Logger
	Ready   func() // called once the device is there and its socket answers
}

// Starter starts devices as detached processes, each of them the program with the arguments
// "wireguard run NAME". They belong to the calling thread's network namespace.
type Starter struct {
	Program string
	Sockets string // empty for the directory of that name
	// Tied ends a device when the thread that started it ends: what a test in a namespace of its own
	// needs, whose thread ends with it.
	Tied bool
}

// ReadyFile is the descriptor on which a started process says that it is ready, or what is wrong.
const ReadyFile = 3

// ReadyFlag tells it so.
const ReadyFlag = "--ready-fd"

// readyWord is what it says.
const readyWord = "ready\n"

// SocketsVariable is the environment variable that gives a started process its directory of sockets.
const SocketsVariable = "PROVISION_WIREGUARD_SOCKETS"

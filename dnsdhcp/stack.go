package dnsdhcp

import "runtime/debug"

// stack is the calling goroutine's, for the log of an internal error.
func stack() string { return string(debug.Stack()) }

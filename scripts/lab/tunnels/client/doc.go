// Package client shows the client's side of WireGuard in namespaces: what a full tunnel takes and what
// it holds, beside wg-quick with the same file.
package client

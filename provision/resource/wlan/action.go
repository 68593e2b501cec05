// Package wlan makes what runs a Wi-Fi device take up changed files: wpa_supplicant reads its
// configuration again, and the kernel hears in which country it is. Both are actions, the same in
// both directions.
package wlan

import "github.com/provision-net/provision/provision"

// Kinds of actions.
const (
	KindReconfigure = "wifi-reconfigure"
	KindCountry     = "wifi-country"
)

const (
	argIfname  = "ifname"
	argConfig  = "config"
	argCountry = "country"
)

// Reconfigure makes the wpa_supplicant of a device read its configuration again, by its control
// socket: a network that did not change stays connected. Without one nothing is done; whoever
// starts it gives it the new file. Nor is it where config, its file, is gone: who took that away
// ends the program too.
func Reconfigure(ifname, config string) provision.Action {
	return provision.Action{Kind: KindReconfigure, Args: map[string]string{argIfname: ifname, argConfig: config}}
}

// Country tells the kernel the regulatory domain. It is not taken back: which frequencies may be
// used does not depend on who asked first.
func Country(code string) provision.Action {
	return provision.Action{Kind: KindCountry, Args: map[string]string{argCountry: code}}
}

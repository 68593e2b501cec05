package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/backends/wifi"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
)

func newWifi(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "wifi",
		Short: "The Wi-Fi networks that this machine joins: add, list, remove",
		Long: `Tell the Wi-Fi device's own manager of networks, over whatever way you came in by: the USB link, a serial console, SSH.
Each network is a file of its own in ` + wifi.FolderPath + `; your configuration file is not touched.` + "\n" + exitHelp,
		Args: groupArgs,
		RunE: group,
	}
	c.AddCommand(newWifiAdd(g), newWifiList(g), newWifiRemove(g))
	return c
}

// wifiAddOptions are the flags of wifi add.
type wifiAddOptions struct {
	agent.WifiOptions
	network wifi.Network
	from    string
	hex     bool
	open    bool
}

func newWifiAdd(g *globals) *cobra.Command {
	var o wifiAddOptions
	c := &cobra.Command{
		Use:   "add NETWORK",
		Short: "Join a Wi-Fi network, now and whenever it is in reach",
		Long: `Keep a network and tell the device's manager (NetworkManager, netplan, or wpa_supplicant beside networkd, dhcpcd or
ifupdown). What is connected stays connected: a new network is joined when the device has none, or at once when it lies
idle. The command waits for the outcome and says what went wrong: a passphrase that is refused, or nobody of that name.

The passphrase is asked for, without showing it; or it is the first line of --passphrase-file or of standard input. It
is never an argument, which everybody on the machine could read. For WPA2 only the key that is made of it is kept, for
WPA3 the passphrase itself, which its handshake needs. Networks without a passphrase want --open. Status 2: the network
is kept, and was not joined in time.` + "\n" + exitHelp,
		Args: networkArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.needRoot("wifi add"); err != nil {
				return err
			}
			return runWifiAdd(cmd, g, o, args[0])
		},
	}
	f := c.Flags()
	f.StringVar(&o.from, "passphrase-file", "", "read the passphrase from the first line of this `file`; - is standard input")
	f.BoolVar(&o.open, "open", false, "the network has no passphrase: everybody in reach can read along")
	f.BoolVar(&o.WPA3, "wpa3", false, "join by WPA3 alone; without it that is done where WPA3 is all that is heard")
	f.BoolVar(&o.network.Hidden, "hidden", false, "the network hides its name and has to be called")
	f.StringVar(&o.network.Country, "country", "", "`code` of the country, such as DE or US: decides which channels may be used")
	f.IntVar(&o.network.Priority, "priority", 0, "0 to 999; of several known networks in reach the highest is joined")
	f.StringVar(&o.network.BSSID, "bssid", "", "only the access point with this `address`")
	addWifiFlags(c, &o.WifiOptions, &o.hex)
	f.DurationVar(&o.Wait, "wait", 30*time.Second, "how long to wait until the network is joined; 0 does not wait")
	return c
}

func addWifiFlags(c *cobra.Command, o *agent.WifiOptions, hex *bool) {
	c.Flags().StringVar(&o.Device, "device", "", "Wi-Fi `device`, where there are several")
	c.Flags().BoolVar(hex, "hex", false, "NETWORK is the name's bytes in hexadecimal")
}

// networkArg wants one argument.
func networkArg(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes the name of one network, got %d arguments (quotes go around a name with blanks)", c.CommandPath(), len(args))}
	}
	return nil
}

func ssid(arg string, isHex bool) (string, error) {
	if !isHex {
		return arg, nil
	}
	b, err := hex.DecodeString(strings.TrimPrefix(arg, "0x"))
	if err != nil {
		return "", usageError{fmt.Errorf("%q is not hexadecimal", arg)}
	}
	return string(b), nil
}

func runWifiAdd(cmd *cobra.Command, g *globals, o wifiAddOptions, name string) error {
	ctx, n := cmd.Context(), o.network
	var err error
	if n.SSID, err = ssid(name, o.hex); err != nil {
		return err
	}
	n.BSSID, n.Country = strings.ToLower(n.BSSID), strings.ToUpper(n.Country)
	switch {
	case o.Wait < 0:
		return usageError{errors.New("--wait is in the past")}
	case o.open && (o.WPA3 || o.from != ""):
		return usageError{errors.New("--open is for networks without a passphrase")}
	case o.open:
		n.Security = wifi.Open
	default:
		n.Security = wifi.PSK
	}
	// What can be said before a secret is asked for.
	early := n
	early.Security = wifi.Open
	err = early.Check()
	if err == nil && n.Country != "" {
		err = wifi.CheckCountry(n.Country)
	}
	if err != nil {
		return usageError{err}
	}
	if !o.open {
		secret, err := readSecret(ctx, cmd.InOrStdin(), g.prompt(), o.from, wifi.Show(n.SSID))
		if err != nil {
			return err
		}
		if len(secret) == 64 && strings.Trim(strings.ToLower(secret), "0123456789abcdef") == "" {
			if n.Key = strings.ToLower(secret); o.WPA3 {
				return usageError{errors.New("WPA3 needs the passphrase; this is the key that WPA2 makes of it")}
			}
		} else if n.Passphrase = secret; true {
			if err := wifi.CheckPassphrase(secret); err != nil {
				return usageError{err}
			}
		}
	}
	a, err := g.agentWithout()
	if err != nil {
		return err
	}
	g.waits("telling the manager", 0)
	out, err := a.WifiAdd(ctx, n, o.WifiOptions)
	if err != nil {
		return wifiError(err)
	}
	if err := g.emit(out, func(p *page) {
		drawEffects(p, out.Result)
		drawWifiNotes(p, out)
		if len(out.Result.Effects) == 0 {
			p.line("nothing to change: %s knows %q already", out.Keeper, out.SSID)
		} else {
			p.line("%s knows %q now (%s)", out.Keeper, out.SSID, out.File)
		}
		switch {
		case out.Said == "":
		case out.Stage == "joined":
			p.line("%s%s", p.green(out.Said), at(out.Signal))
		default:
			p.line("%s", p.yellow(out.Said))
		}
	}); err != nil {
		return err
	}
	// The network is kept: joining may come later. A script wants to know all the same.
	if out.Stage != "" && out.Stage != "joined" && out.Stage != "elsewhere" {
		return errDifferences
	}
	return nil
}

func drawWifiNotes(p *page, out agent.WifiOutcome) {
	for _, n := range out.Result.Notes {
		p.line("%s: %s", n.Subject, n.Text)
	}
	for _, r := range out.Result.Foreign {
		p.line("%s was changed by somebody else and is left as it is", p.ref(r))
	}
}

func at(signal int) string {
	if signal == 0 {
		return ""
	}
	return ", " + dBm(signal)
}

// wifiError gives errors of usage their status.
func wifiError(err error) error {
	var u agent.UsageError
	if errors.As(err, &u) {
		return usageError{u.Err}
	}
	return err
}

// readSecret reads a passphrase from a file, else from the terminal without showing it, else from
// the first line of standard input.
func readSecret(ctx context.Context, stdin io.Reader, ask io.Writer, from, network string) (string, error) {
	s := secret{"passphrase", network, usageError{errors.New("no passphrase was given: type it, or use --passphrase-file FILE, or --open for a network without")}}
	switch from {
	case "":
		if text, ok, err := s.typed(ctx, stdin, ask); ok {
			return text, err
		}
	case "-":
	default:
		return s.file(from)
	}
	return s.first(stdin)
}

func newWifiList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the Wi-Fi devices, the networks that are known, and what is heard",
		Long: `List the Wi-Fi devices and the network each is in; the networks that were added, and those that others have told the
managers of; and what else was heard in the last half minute. No scan is started.` + "\n" + exitHelp,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := g.agentWithout()
			if err != nil {
				return err
			}
			list, err := a.WifiNetworks(cmd.Context())
			if err != nil {
				return err
			}
			return g.emit(list, func(p *page) { drawWifi(p, list) })
		},
	}
}

func drawWifi(p *page, list agent.WifiList) {
	if len(list.Devices) == 0 {
		p.line("there is no Wi-Fi device")
	}
	for _, d := range list.Devices {
		switch {
		case d.Joined != "":
			p.line("%s is in %q%s", d.Name, d.Joined, at(d.Signal))
		default:
			p.line("%s is in no network", d.Name)
		}
		if d.Blocked != "" {
			p.line("  %s", p.red(d.Blocked))
		}
		if d.Country == "00" {
			p.line("  no country is set: some channels are not used (add a network with --country)")
		}
	}
	rows := [][]string{{"network", "device", "security", "signal", "known from"}}
	for _, n := range list.Networks {
		from := n.File
		if n.Ours {
			from = "provision wifi add"
		}
		if n.Joined {
			from += ", joined"
		}
		rows = append(rows, []string{n.SSID, n.Device, n.Security, dBm(n.Signal), from})
	}
	for _, n := range list.Heard {
		rows = append(rows, []string{n.SSID, n.Device, n.Security, dBm(n.Signal), "heard only"})
	}
	if len(rows) > 1 {
		p.rows(rows)
	} else {
		p.line("no networks are known, and none was heard lately")
	}
	for _, n := range list.Notes {
		p.line("%s", p.dim(n))
	}
}

func dBm(signal int) string {
	if signal == 0 {
		return ""
	}
	return strconv.Itoa(signal) + " dBm"
}

func newWifiRemove(g *globals) *cobra.Command {
	var (
		o     agent.WifiOptions
		isHex bool
	)
	c := &cobra.Command{
		Use:   "remove NETWORK",
		Short: "Forget a network that was added",
		Long: `Forget a network that was added by 'provision wifi add', in its manager too. Networks that others have configured are
named and left.` + "\n" + exitHelp,
		Args: networkArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := g.needRoot("wifi remove"); err != nil {
				return err
			}
			name, err := ssid(args[0], isHex)
			if err != nil {
				return err
			}
			a, err := g.agentWithout()
			if err != nil {
				return err
			}
			out, err := a.WifiRemove(cmd.Context(), name, o)
			if err != nil {
				return wifiError(err)
			}
			return g.emit(out, func(p *page) {
				drawEffects(p, out.Result)
				drawWifiNotes(p, out)
				p.line("%q is forgotten", out.SSID)
			})
		},
	}
	addWifiFlags(c, &o, &isHex)
	c.Flags().BoolVar(&o.Force, "force", false, "also the network that this SSH session comes in by")
	return c
}

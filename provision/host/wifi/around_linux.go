package wifi

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink/nl"
)

// Around returns the cells that the kernel has heard of on an interface in its last scans, some 30
// seconds back. It starts no scan. An interface that is down has heard nothing.
func Around(ctx context.Context, index int) ([]Cell, error) {
	family, err := familyID("nl80211")
	if errors.Is(err, syscall.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot ask for Wi-Fi: %w", err)
	}
	cells, err := scan(ctx, family, index)
	if errors.Is(err, syscall.ENODEV) || errors.Is(err, syscall.ENETDOWN) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what Wi-Fi is around: %w", err)
	}
	var out []Cell
	for _, c := range cells {
		out = append(out, Cell{SSID: c.ssid, BSSID: c.bssid.String(), Signal: c.signal, PSK: c.psk, SAE: c.sae, Encrypted: c.encrypted, Associated: c.associated})
	}
	return out, nil
}

// Country is the regulatory domain that the kernel keeps, two letters; "00" is the one for the
// whole world, which allows least. It is empty without Wi-Fi.
func Country(ctx context.Context) (string, error) {
	family, err := familyID("nl80211")
	if errors.Is(err, syscall.ENOENT) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot ask for Wi-Fi: %w", err)
	}
	answers, err := ask(ctx, family, cmdGetReg, 0)
	if err != nil {
		return "", fmt.Errorf("cannot read the Wi-Fi country: %w", err)
	}
	for _, b := range answers {
		if c, err := decodeCountry(b); err != nil || c != "" {
			return c, err
		}
	}
	return "", nil
}

// SetCountry tells the kernel in which country it is, as a user's hint: drivers and what access
// points say may narrow it. The kernel looks the rules up by itself, a little later.
func SetCountry(ctx context.Context, country string) error {
	family, err := familyID("nl80211")
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot ask for Wi-Fi: %w", err)
	}
	if _, err := ask(ctx, family, cmdReqSetReg, 0, nl.NewRtAttr(attrAlpha2, nl.ZeroTerminated(country))); err != nil {
		return fmt.Errorf("cannot set the Wi-Fi country %s: %w", country, err)
	}
	return nil
}

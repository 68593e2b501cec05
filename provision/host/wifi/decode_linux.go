package wifi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/netdev"
)

// Numbers of linux/nl80211.h; a test compares them with the header.
const (
	cmdGetInterface = 5
	cmdReqSetReg    = 27
	cmdGetReg       = 31
	cmdGetScan      = 32

	attrIfindex = 3
	attrIfname  = 4
	attrIftype  = 5
	attrAlpha2  = 33
	attrBSS     = 47
	attrSSID    = 52

	bssBSSID      = 1
	bssCapability = 5
	bssElements   = 6
	bssSignal     = 7
	bssStatus     = 9
	bssBeacon     = 11

	statusAssociated = 1

	iftypeStation   = 2
	iftypeP2PClient = 8
)

// capPrivacy is WLAN_CAPABILITY_PRIVACY: data frames are encrypted, by whatever (IEEE 802.11 9.4.1.4).
const capPrivacy = 1 << 4

// station is what an answer to GET_INTERFACE says.
type station struct {
	index   int
	name    string
	station bool // joins networks, and does not make them
	ssid    string
}

// decodeInterface reads the attributes of NL80211_CMD_NEW_INTERFACE.
func decodeInterface(b []byte) (station, error) {
	var s station
	attrs, err := netdev.ParseAttrs(b)
	if err != nil {
		return s, err
	}
	for _, a := range attrs {
		switch a.Kind {
		case attrIfindex:
			if len(a.Data) != 4 {
				return s, errors.New("an interface's index is not of 4 bytes")
			}
			s.index = int(int32(binary.NativeEndian.Uint32(a.Data)))
		case attrIfname:
			s.name = text(a.Data)
		case attrIftype:
			if len(a.Data) != 4 {
				return s, errors.New("an interface's type is not of 4 bytes")
			}
			t := binary.NativeEndian.Uint32(a.Data)
			s.station = t == iftypeStation || t == iftypeP2PClient
		case attrSSID:
			if len(a.Data) > maxSSID {
				return s, fmt.Errorf("a network's name has %d bytes", len(a.Data))
			}
			s.ssid = string(a.Data)
		}
	}
	return s, nil
}

const maxSSID = 32 // IEEE80211_MAX_SSID_LEN

// cell is one entry of the scan results.
type cell struct {
	bssid      net.HardwareAddr
	associated bool
	ssid       string
	encrypted  bool
	signal     int // dBm, 0 where the driver does not say
	psk, sae   bool
}

// decodeScan reads the attributes of NL80211_CMD_NEW_SCAN_RESULTS.
func decodeScan(b []byte) (cell, error) {
	attrs, err := netdev.ParseAttrs(b)
	if err != nil {
		return cell{}, err
	}
	for _, a := range attrs {
		if a.Kind&^unix.NLA_F_NESTED == attrBSS {
			return decodeCell(a.Data)
		}
	}
	return cell{}, nil
}

func decodeCell(b []byte) (cell, error) {
	var c cell
	attrs, err := netdev.ParseAttrs(b)
	if err != nil {
		return c, err
	}
	privacy := false
	var asked, beacon *elements
	for _, a := range attrs {
		switch a.Kind {
		case bssBSSID:
			c.bssid = net.HardwareAddr(a.Data)
		case bssCapability:
			privacy = len(a.Data) == 2 && binary.NativeEndian.Uint16(a.Data)&capPrivacy != 0
		case bssSignal: // in hundredths of a dBm
			if len(a.Data) == 4 {
				c.signal = int(int32(binary.NativeEndian.Uint32(a.Data))) / 100
			}
		case bssStatus:
			c.associated = len(a.Data) == 4 && binary.NativeEndian.Uint32(a.Data) == statusAssociated
		case bssElements:
			e := decodeElements(a.Data)
			asked = &e
		case bssBeacon:
			e := decodeElements(a.Data)
			beacon = &e
		}
	}
	// A probe's answer and the beacon may come from different senders: what either of them denies
	// does not hold.
	c.encrypted = privacy && (asked != nil || beacon != nil)
	for _, e := range []*elements{asked, beacon} {
		if e != nil {
			c.encrypted = c.encrypted && e.known
			c.psk, c.sae = c.psk || e.psk, c.sae || e.sae
			if c.ssid == "" {
				c.ssid = e.ssid
			}
		}
	}
	return c, nil
}

// text cuts a string at its final zero.
func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// join puts what is known of a station and of the cells around it together. The interface's own
// word for the network's name goes first: a hidden network's beacon has none.
func join(s station, cells []cell) Network {
	n := Network{Index: s.index, Name: s.name}
	found := 0
	for _, c := range cells {
		if !c.associated {
			continue
		}
		if found++; found == 1 {
			n.SSID, n.Encrypted = c.ssid, c.encrypted
		} else { // one station in several links of one network (Wi-Fi 7)
			n.Encrypted = n.Encrypted && c.encrypted
		}
	}
	if s.ssid != "" {
		n.SSID = s.ssid
	}
	return n
}

// decodeCountry reads the attributes of an answer to GET_REG.
func decodeCountry(b []byte) (string, error) {
	attrs, err := netdev.ParseAttrs(b)
	if err != nil {
		return "", err
	}
	for _, a := range attrs {
		if a.Kind == attrAlpha2 {
			return text(a.Data), nil
		}
	}
	return "", nil
}

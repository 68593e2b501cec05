package wire

// Option codes (https://www.iana.org/assignments/bootp-dhcp-parameters).
const (
	OptPad              = 0
	OptSubnetMask       = 1
	OptRouter           = 3
	OptDNS              = 6
	OptHostname         = 12
	OptDomain           = 15
	OptMTU              = 26
	OptBroadcast        = 28
	OptNTP              = 42
	OptVendorInfo       = 43
	OptRequestedIP      = 50
	OptLeaseTime        = 51
	OptOverload         = 52
	OptMessageType      = 53
	OptServerID         = 54
	OptRequestList      = 55
	OptMessage          = 56
	OptMaxSize          = 57
	OptT1               = 58
	OptT2               = 59
	OptVendorClass      = 60
	OptClientID         = 61
	OptTFTPServer       = 66
	OptBootFile         = 67
	OptUserClass        = 77
	OptRapidCommit      = 80
	OptFQDN             = 81
	OptRelayAgent       = 82
	OptArch             = 93
	OptUUID             = 97
	OptV6Only           = 108
	OptCaptivePortal    = 114
	OptSubnetSelection  = 118
	OptSearch           = 119
	OptRoutes           = 121
	OptVendorClassVI    = 124
	OptVendorInfoVI     = 125
	OptIPXE             = 175
	OptMicrosoftRoutes  = 249
	OptMicrosoftWPAD    = 252
	OptEnd              = 255
	SubCircuitID        = 1
	SubRemoteID         = 2
	SubLinkSelection    = 5  // RFC 3527
	SubServerIDOverride = 11 // RFC 5107
)

// Message types (RFC 2132 section 9.6).
const (
	Discover = iota + 1
	Offer
	Request
	Decline
	Ack
	Nak
	Release
	Inform
)

var typeNames = [...]string{"BOOTP", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"}

// TypeName names a message type; 0 is BOOTP, an unknown one is UNKNOWN.
func TypeName(t uint8) string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "UNKNOWN"
}

// joins says that several instances of an option are pieces of one value (RFC 3396). A value that has a fixed length or
// that nobody splits is not joined: its second instance is a sender's mistake, and the first one counts.
func joins(code uint8) bool {
	switch code {
	case OptVendorInfo, OptRequestList, OptUserClass, OptRelayAgent, OptSearch, 120, OptRoutes, OptVendorClassVI,
		OptVendorInfoVI, OptMicrosoftRoutes:
		return true
	}
	return false
}

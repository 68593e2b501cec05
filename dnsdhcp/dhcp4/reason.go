package dhcp4

// Reasons say why a packet was answered as it was, or not at all. They are stable words: counters, logs and scripts
// hold on to them.
const (
	// Answered.
	ReasonOffered      = "offered"          // OFFER of a free address
	ReasonOfferedKnown = "offered-known"    // OFFER of the address that the client has or had
	ReasonReserved     = "reserved"         // OFFER, ACK or BOOTP reply by reservation
	ReasonBound        = "bound"            // ACK to who took our offer
	ReasonRapid        = "rapid-commit"     // ACK to a DISCOVER (RFC 4039)
	ReasonRenewed      = "renewed"          // ACK to a RENEWING client
	ReasonRebound      = "rebound"          // ACK to a REBINDING client
	ReasonRebooted     = "rebooted"         // ACK to a client that remembers its address (INIT-REBOOT)
	ReasonRebuilt      = "rebuilt"          // ACK to a client that we have no record of, its address being free: we are authoritative
	ReasonShortened    = "shortened"        // ACK or OFFER of only what is durable already, as nothing can be written now
	ReasonInformed     = "informed"         // ACK to an INFORM
	ReasonV6Only       = "ipv6-only"        // OFFER without an address: client and network can do without IPv4 (RFC 8925)
	ReasonWrongNet     = "wrong-network"    // NAK: the address is of another network
	ReasonOtherAddr    = "other-address"    // NAK: this client has another address here
	ReasonTaken        = "address-taken"    // NAK: another client has the address
	ReasonOutside      = "address-outside"  // NAK: the address is in no pool
	ReasonNotReserved  = "address-reserved" // NAK: the address is reserved for another, or another one for this client
	ReasonUnknownLease = "unknown-lease"    // NAK: no record of such a lease, and the address cannot be given
	ReasonBOOTP        = "bootp"            // reply to a BOOTP client with a reservation

	// Taken note of; these messages have no answer.
	ReasonReleased = "released"
	ReasonDeclined = "declined"
	ReasonOther    = "other-server" // REQUEST for another server: our offer is withdrawn

	// Silence.
	ReasonMalformed     = "malformed"        // not a DHCP message; Detail says what is wrong
	ReasonNotRequest    = "not-a-request"    // op is not BOOTREQUEST
	ReasonWrongLink     = "wrong-link"       // came in on another interface than the socket is for
	ReasonHops          = "too-many-hops"    // relayed more than 16 times (RFC 1542 section 4.1.1)
	ReasonNoNetwork     = "no-network"       // no network is configured for the link or the relay agent
	ReasonNoAddress     = "no-address"       // the link has no address inside of the network yet
	ReasonNoIdentity    = "no-identity"      // neither hardware address nor client identifier
	ReasonIgnored       = "ignored"          // the configuration says so of this host
	ReasonFlood         = "flood"            // this client asks too often
	ReasonFloodUnknown  = "flood-unknown"    // all unknown clients together ask too often
	ReasonOffersFull    = "offers-full"      // too many offers are waiting to be taken
	ReasonExhausted     = "exhausted"        // no free address
	ReasonReservedInUse = "reserved-in-use"  // the client's reserved address is held by another client
	ReasonReadOnly      = "read-only"        // stable storage cannot be written, and this would be a new promise
	ReasonNotCommitted  = "not-committed"    // stable storage refused the record: the ACK was not sent
	ReasonBusy          = "busy"             // too many replies wait for stable storage or a probe
	ReasonNoOffer       = "not-ours"         // non-authoritative, and nothing is known of the client's lease
	ReasonNoRequestAddr = "no-address-asked" // REQUEST, DECLINE, RELEASE or INFORM without the address that it is about
	ReasonNotHolder     = "not-holder"       // DECLINE or RELEASE of an address that this client does not have, or from elsewhere
	ReasonInformOutside = "inform-outside"   // INFORM for an address outside of the network
	ReasonNoReservation = "no-reservation"   // BOOTP client without a reservation
	ReasonUnknownType   = "unknown-type"     // message type that is not for a server, or not known
	ReasonProbing       = "probing"          // the address is being probed; the offer follows
	ReasonConflict      = "conflict"         // somebody uses the address; it is in quarantine
	ReasonClone         = "clone"            // two hardware addresses live under one client identifier; keyed by hardware address
	ReasonSend          = "send-failed"      // the kernel refused to send the reply; Detail says why
	ReasonTableError    = "table-error"      // the lease table refused for a reason of its own; Detail says which
)

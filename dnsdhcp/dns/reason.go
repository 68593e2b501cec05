package dns

// Reasons of a trace.Entry, besides those of package zone and the words of forward.Failure.
const (
	ReasonNoLink     = "link-not-served"
	ReasonOffLink    = "source-off-link"
	ReasonPort       = "source-port-0"
	ReasonRate       = "rate-limit"
	ReasonShort      = "too-short"
	ReasonCut        = "too-long"
	ReasonResponse   = "not-a-query"
	ReasonOpcode     = "opcode"
	ReasonMalformed  = "malformed"
	ReasonCounts     = "section-counts"
	ReasonSigned     = "tsig"
	ReasonVersion    = "edns-version"
	ReasonClass      = "class"
	ReasonType       = "type"
	ReasonLoopProbe  = "loop-probe"
	ReasonNoRecurse  = "recursion-not-desired"
	ReasonRebind     = "rebind"
	ReasonFailed     = "failed-recently"
	ReasonBusy       = "too-many-in-flight"
	ReasonCrowded    = "too-many-for-one-question"
	ReasonLocalError = "local-data"
	ReasonConns      = "too-many-connections"
	ReasonFrame      = "short-frame"
)

package dnsdhcp

import (
	"strings"
)

// domainName reads a domain of LDH labels (RFC 1123 section 2.1), underscores included, in lower case and without a
// dot at its end; fallback when there is nothing to read.
func (r *reader) domainName(at, text, fallback string) string {
	if text == "" {
		if fallback == "" {
			r.fail(at, "a domain name is missing")
		}
		return fallback
	}
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if len(name) > 253 {
		r.fail(at, "%q is longer than the 253 characters of a domain name", text)
		return fallback
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			r.fail(at, "%q is no domain name: labels have 1 to 63 letters, digits and hyphens, write others as xn--…", text)
			return fallback
		}
	}
	return name
}

// label reads one label of a host name.
func (r *reader) label(at, text string) string {
	l := strings.ToLower(text)
	if !isLabel(l) || strings.Contains(l, "_") {
		r.fail(at, "%q is no host name: it has 1 to 63 letters, digits and hyphens, none of these at its ends", text)
		return ""
	}
	return l
}

func isLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for _, c := range []byte(l) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

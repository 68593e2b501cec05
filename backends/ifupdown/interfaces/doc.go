// Package interfaces reads /etc/network/interfaces as Debian's ifupdown reads it
// (interfaces(5), config.c of 0.8.41 to 0.8.45) and edits it without touching any
// other byte.
//
// Parse is the lossless layer: the concatenated Raw of a File's lines is its input,
// whatever the input was. Resolve follows source and source-directory lines over a
// map of files and says which stanzas ifup would carry out, with which options.
// SetOption changes one option of one stanza in place. Nothing is ever executed: a
// mapping script that would choose the stanza is reported, not asked.
package interfaces

// Limits of what is read. An interfaces file of a machine has some dozen lines; what
// is over a limit is kept, byte for byte, but refused with its place.
const (
	MaxFile    = 1 << 20  // bytes of one file
	MaxFiles   = 512      // files that one configuration may pull in
	MaxDepth   = 32       // files that source each other
	MaxStanzas = 4096     // iface stanzas of one configuration
	MaxSources = 1024     // source lines of one configuration
	MaxOptions = 256      // options of one stanza, inherited ones included
	MaxValues  = 8 << 20  // bytes of all option values, inherited copies included
	maxWord    = 80 - 1   // next_word of config.c cuts words there
	maxPath    = 4096 - 1 // PATH_MAX
)

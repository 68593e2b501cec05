package nft

import "errors"

// maxName is the longest name (NFT_NAME_MAXLEN without the zero byte).
const maxName = 255

// sendable refuses what cannot even be put into a message.
func (t *Table) sendable() error { return errors.Join(t.faults()...) }

func (t *Table) faults() []error { return nil }

// Package flash writes an image to an SD card or another disk and reads it back. Whatever happens in between, a card that is
// not whole says so:
//
//   - The first thing that is written is a note in the card's first sector, which takes the old partition table away and says
//     in plain text what is going on. The last thing that is written is the image's own beginning, after everything else has been
//     read back from the card and compared. In between nothing boots from it and no system mounts it.
//   - The note has a token. A file on the computer ([Notes]) tells up to where the card with that token is written, so that
//     the next run goes on from there, and never on another card.
//
// Sizes and offsets are bytes.
package flash

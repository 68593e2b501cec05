// Package fat edits a FAT16 or FAT32 file system in place: no mount, no root, no
// device of the system, just an io.ReaderAt and an io.WriterAt. It is made for the
// boot partition of somebody's SD card, so it is careful before it is anything else:
//
//   - The whole change is planned before the first byte is written ([Volume.Plan]), as
//     a list of sector writes with what was there before. What does not fit is refused.
//   - Nothing that is in use is written over. New contents go to free clusters, then
//     the tables learn of them, then one directory entry is switched, then the old
//     clusters are given back. However far it got, each file is the old or the new one.
//     Secrets may be zeros instead, so that no byte of them is left where no file is
//     ([WriteSecret]).
//   - A file system that contradicts itself (chains that meet, go round or lead out of
//     it, tables that differ) is read as far as possible and never written.
//
// The format is in Microsoft's "FAT File System Specification" (fatgen103, 2000) and
// ECMA-107; where systems do otherwise, what Linux does is taken (fs/fat). FAT12 and
// exFAT are refused. Sizes and offsets are bytes from the beginning of the volume.
package fat

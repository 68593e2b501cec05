// Package file is the state of files, directories and symlinks: kind "file", and
// kind "secret-file" for content that is compared by digest and never shown.
//
// A reference's name is the absolute logical path. Attributes: "type" (file, dir,
// symlink), "content" (any bytes), "mode" (octal, four digits or more: "0600"),
// "uid", "gid" (decimal), "target" (of a symlink) and "xattr.NAME" (extended
// attributes, values are bytes). "seed" is content that counts only when the file
// is created.
package file

import (
	"fmt"
	"io/fs"

	"github.com/provision-net/provision/provision"
)

// Kinds of reference.
const (
	Kind       = "file"
	SecretKind = "secret-file"
)

// Names of the attributes.
const (
	AttrType    = "type"
	AttrContent = "content"
	AttrSeed    = "seed"
	AttrMode    = "mode"
	AttrUID     = "uid"
	AttrGID     = "gid"
	AttrTarget  = "target"
	XattrPrefix = "xattr."
)

// Values of AttrType.
const (
	TypeFile    = "file"
	TypeDir     = "dir"
	TypeSymlink = "symlink"
)

// Ref names the file, directory or symlink at path.
func Ref(path string) provision.Ref { return provision.Ref{Kind: Kind, Name: path} }

// SecretRef names the file at path whose content is secret.
func SecretRef(path string) provision.Ref { return provision.Ref{Kind: SecretKind, Name: path} }

// Want asks for a root-owned regular file with exactly this content and mode.
func Want(path string, content []byte, mode fs.FileMode, why string) provision.Want {
	return provision.Want{Ref: Ref(path), Attrs: whole(AttrContent, content, mode), Why: why}
}

// Secret asks for the same as Want, with content that is compared by digest and
// masked wherever it is shown. Its reference is SecretRef(path).
func Secret(path string, content []byte, mode fs.FileMode, why string) provision.Want {
	return provision.Want{Ref: SecretRef(path), Attrs: whole(AttrContent, content, mode), Why: why}
}

// Seed asks for a root-owned regular file that gets this content when it is
// created and keeps whatever it holds afterwards.
func Seed(path string, content []byte, mode fs.FileMode, why string) provision.Want {
	return provision.Want{Ref: Ref(path), Attrs: whole(AttrSeed, content, mode), Why: why}
}

func whole(attr string, content []byte, mode fs.FileMode) provision.Attrs {
	return provision.Attrs{
		AttrType: TypeFile, attr: string(content), AttrMode: FormatMode(mode), AttrUID: "0", AttrGID: "0",
	}
}

// Content asks for the content of a regular file and leaves owner, mode and
// extended attributes as they are: an edit of somebody else's file. A file that
// does not exist is created with mode 0644, owned by root.
func Content(path string, content []byte, why string) provision.Want {
	return provision.Want{Ref: Ref(path), Attrs: provision.Attrs{AttrType: TypeFile, AttrContent: string(content)}, Why: why}
}

// Dir asks for a directory. It is created with mode 0755, owned by root; an
// existing one is not touched. Its removal needs it empty.
func Dir(path, why string) provision.Want {
	return provision.Want{Ref: Ref(path), Attrs: provision.Attrs{AttrType: TypeDir}, Why: why}
}

// Symlink asks for a symlink with this target, written as given.
func Symlink(path, target, why string) provision.Want {
	return provision.Want{Ref: Ref(path), Attrs: provision.Attrs{AttrType: TypeSymlink, AttrTarget: target}, Why: why}
}

// Absent asks that nothing exists at path.
func Absent(path, why string) provision.Want {
	return provision.Want{Ref: Ref(path), Why: why}
}

// FormatMode is the canonical text of the permission, setuid, setgid and sticky
// bits of mode: four octal digits.
func FormatMode(mode fs.FileMode) string {
	bits := uint32(mode.Perm())
	if mode&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if mode&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if mode&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return fmt.Sprintf("%04o", bits)
}

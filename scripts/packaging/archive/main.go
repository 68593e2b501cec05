// archive packs a folder, or one file, so that the same content gives the same bytes wherever and whenever it is packed: sorted,
// owned by root, with the time of SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch).
//
//	archive OUT.tar.gz DIR    archive OUT.zip DIR    archive OUT.gz FILE
//
// Names in the archive begin with the folder's own name.
package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "archive: give the archive and what it holds")
		os.Exit(64)
	}
	if err := pack(os.Args[1], os.Args[2], os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

// file is one member of an archive.
type file struct {
	name string // with slashes, as it is called in the archive
	path string
	mode fs.FileMode // 0644 or 0755, whatever the umask was
}

func pack(out, from, epoch string) (err error) {
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH is no number of seconds: %w", err)
	}
	when := time.Unix(seconds, 0).UTC()
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(out)
		}
	}()
	switch {
	case strings.HasSuffix(out, ".zip"):
		return zipped(f, from, when)
	case strings.HasSuffix(out, ".tar.gz"):
		return compressed(f, func(w io.Writer) error { return tarred(w, from, when) })
	case strings.HasSuffix(out, ".gz"):
		return compressed(f, func(w io.Writer) error { return copyFrom(w, from) })
	}
	return fmt.Errorf("%s is neither .tar.gz nor .zip nor .gz", out)
}

// files are the regular files below a folder, sorted.
func files(dir string) ([]file, error) {
	var out []file
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file", path)
		}
		rel, err := filepath.Rel(filepath.Dir(dir), path)
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		out = append(out, file{filepath.ToSlash(rel), path, mode})
		return err
	})
	return out, err
}

func tarred(w io.Writer, dir string, when time.Time) error {
	list, err := files(dir)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, f := range list {
		info, err := os.Stat(f.path)
		if err != nil {
			return err
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: info.Size(), Mode: int64(f.mode), ModTime: when, Uname: "root", Gname: "root", Format: tar.FormatUSTAR}
		if err := errors.Join(t.WriteHeader(h), copyFrom(t, f.path)); err != nil {
			return err
		}
	}
	return t.Close()
}

func zipped(w io.Writer, dir string, when time.Time) error {
	list, err := files(dir)
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, f := range list {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: when}
		h.SetMode(f.mode)
		m, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if err := copyFrom(m, f.path); err != nil {
			return err
		}
	}
	return z.Close()
}

// compressed writes without name and time.
func compressed(w io.Writer, write func(io.Writer) error) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	return errors.Join(write(z), z.Close())
}

func copyFrom(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

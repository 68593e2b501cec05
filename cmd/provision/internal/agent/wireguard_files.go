package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/provision-net/provision/routing/wireguard"
)

// wireguardFile is the file of an interface that a command added, or of one of its peers.
func wireguardFile(device, peer string) string {
	if peer == "" {
		return filepath.Join(wireguard.Folder, device+".yaml")
	}
	return filepath.Join(wireguard.Folder, device, peer+".yaml")
}

// wireguardAdded reads what commands added. Everything that is wrong comes back at once.
func (a *Agent) wireguardAdded() (wireguard.Added, error) {
	if a.pending != nil {
		return *a.pending, nil
	}
	return readWireguard(a.Root)
}

func readWireguard(root string) (wireguard.Added, error) {
	out := wireguard.Added{Interfaces: map[string]wireguard.Interface{}, Peers: map[string]map[string]wireguard.Peer{}}
	dir := filepath.Join(root, wireguard.Folder)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = trusted(dir)
	}
	if err != nil {
		return out, fmt.Errorf("cannot read what `provision wireguard` added: %w", err)
	}
	var errs []error
	fail := func(path string, err error) { errs = append(errs, fmt.Errorf("%s: %w", path, err)) }
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name, isFile := strings.CutSuffix(e.Name(), ".yaml")
		switch {
		case e.IsDir():
			peers, err := readPeers(root, e.Name())
			errs = append(errs, err)
			if len(peers) > 0 {
				out.Peers[e.Name()] = peers
			}
		case isFile:
			path := wireguardFile(name, "")
			data, err := readSecretFile(filepath.Join(root, path), wireguard.MaxFile+1)
			if err == nil {
				out.Interfaces[name], err = wireguard.DecodeInterface(data)
			}
			if err != nil {
				fail(path, err)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return out, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return out, nil
}

func readPeers(root, device string) (map[string]wireguard.Peer, error) {
	dir := filepath.Join(root, wireguard.Folder, device)
	if err := trusted(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := make(map[string]wireguard.Peer, len(entries))
	var errs []error
	for _, e := range entries {
		name, is := strings.CutSuffix(e.Name(), ".yaml")
		if !is || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		data, err := readSecretFile(filepath.Join(dir, e.Name()), wireguard.MaxFile+1)
		if err == nil {
			out[name], err = wireguard.DecodePeer(data)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", wireguardFile(device, name), err))
		}
	}
	return out, errors.Join(errs...)
}

// readSecretFile reads a file that holds a key: nobody else may have read it, or have written it. The
// folders above it are the caller's to judge.
func readSecretFile(path string, limit int64) ([]byte, error) {
	return readJudged(path, limit, func(mode fs.FileMode, size int64, owner int) error {
		switch {
		case !mode.IsRegular():
			return errors.New("not a regular file")
		case size > limit:
			return fmt.Errorf("larger than %d bytes", limit)
		case runtime.GOOS != "windows" && mode.Perm()&0o077 != 0:
			return fmt.Errorf("others may read it (mode %04o), and it holds a key: chmod 600 %s, and `provision wireguard rotate` if somebody could have", mode.Perm(), path)
		case os.Geteuid() == 0 && owner != 0:
			return fmt.Errorf("it belongs to user %d, not to root, and it steers what root does: chown root %s", owner, path)
		}
		return nil
	})
}

// keyFiles reads the files with keys that the configuration names. What is wrong with them the plan
// says.
func (a *Agent) keyFiles(c wireguard.Config) map[string]wireguard.KeyFile {
	out := map[string]wireguard.KeyFile{}
	for _, path := range c.KeyFiles() {
		out[path] = readKeyFile(filepath.Join(a.Root, path))
	}
	return out
}

func readKeyFile(path string) wireguard.KeyFile {
	f, err := openRegular(path)
	if err != nil {
		return wireguard.KeyFile{Err: err}
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return wireguard.KeyFile{Err: err}
	}
	k := wireguard.KeyFile{Mode: info.Mode(), UID: ownerOf(info)}
	k.Text, k.Err = io.ReadAll(io.LimitReader(f, 4096))
	if k.Err == nil && k.Mode.Perm()&0o077 == 0 {
		k.Err = trusted(path) // a folder above it that others can write
	}
	return k
}

// wireguardEdit is one file of Folder: data nil takes it away. fresh: it must not be there yet.
type wireguardEdit struct {
	device, peer string
	data         []byte
	fresh        bool
}

// exchangeAll makes the edits, each durable, and takes all of them back where then fails.
func (a *Agent) exchangeAll(edits []wireguardEdit, then func() error) error {
	type old struct {
		path  string
		data  []byte
		there bool
	}
	var done []old
	back := func(err error) error {
		errs := []error{err}
		for i := len(done) - 1; i >= 0; i-- {
			errs = append(errs, put600(done[i].path, done[i].data, done[i].there))
		}
		a.sweepWireguard()
		return errors.Join(errs...)
	}
	for _, e := range edits {
		name := wireguardFile(e.device, e.peer)
		path := filepath.Join(a.Root, name)
		was, err := readSecretFile(path, wireguard.MaxFile+1)
		there := err == nil
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return back(fmt.Errorf("%w: %s: %w", ErrConfig, name, err))
		}
		if e.peer != "" && e.data != nil {
			// Of the folders only the first may be looked into by others.
			folder := filepath.Join(a.Root, wireguard.Folder)
			err = os.MkdirAll(filepath.Dir(folder), 0o755)
			if err == nil {
				err = os.MkdirAll(filepath.Dir(path), 0o700)
			}
			if err != nil {
				return back(fmt.Errorf("cannot keep %s: %w", name, err))
			}
		}
		if e.fresh {
			err = create600(path, e.data)
		} else {
			err = put600(path, e.data, e.data != nil)
		}
		if err != nil {
			return back(fmt.Errorf("cannot keep %s: %w", name, err))
		}
		done = append(done, old{path, was, there})
	}
	if err := then(); err != nil {
		return back(err)
	}
	a.sweepWireguard()
	return nil
}

// create600 is put600 for a file that must not be there: who else makes it at the same time is told.
func create600(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-") // O_EXCL, mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // not every system can
		d.Close()
	}
	return nil
}

// sweepWireguard takes away folders of peers that have none any more, and Folder when it is empty.
func (a *Agent) sweepWireguard() {
	dir := filepath.Join(a.Root, wireguard.Folder)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			_ = os.Remove(filepath.Join(dir, e.Name())) // one with peers stays
		}
	}
	_ = os.Remove(dir)
}

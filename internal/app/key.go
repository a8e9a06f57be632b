package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/secret"
)

// keyFile is the key in the data directory, where none is named.
const keyFile = "installation.key"

// key returns the installation's key. It is made once, with the installation:
// a second one would know every contact by another name.
func (c *core) key(ctx context.Context) ([]byte, error) {
	path := c.cfg.KeyFile
	if path == "" {
		path = filepath.Join(c.cfg.Data, keyFile)
	}
	bound, err := c.defs.Bound(ctx, "key")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && bound != "" {
		return nil, fmt.Errorf("%s is not there, and this installation has a key: restore it from a backup, or name the file that the other processes read in CARILLON_KEY_FILE", path)
	}
	key, err := secretFile(path)
	if err != nil {
		return nil, err
	}
	print := contact.NewKeyer(key).Fingerprint()
	if bound, err = c.defs.Bind(ctx, "key", print); err != nil {
		return nil, err
	}
	if print != bound {
		return nil, fmt.Errorf("%s is not the key that this installation's contacts are known by; restore the right one, or set CARILLON_KEY_FILE", path)
	}
	return key, nil
}

// secretFile returns what a file holds, making it with a random secret where
// it does not exist. Of two processes that make it at once both return the
// secret of the first.
func secretFile(path string) ([]byte, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("make secret: %w", err)
		}
		made := make([]byte, 32)
		if _, err := rand.Read(made); err != nil {
			return nil, fmt.Errorf("make secret: %w", err)
		}
		if err := newFile(path, []byte(hex.EncodeToString(made)+"\n")); err != nil {
			return nil, err
		}
	}
	b, err := secret.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	return decodeSecret(path, b)
}

func decodeSecret(path string, b []byte) ([]byte, error) {
	plain, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(plain) < 32 {
		return nil, fmt.Errorf("%s: want 64 or more hex digits; restore the file from a backup", path)
	}
	return plain, nil
}

// newFile writes a file that only its owner may read, whole or not at all, to
// stay there after a power failure too. One that is there stays as it is.
func newFile(path string, data []byte) (err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	f, err := os.CreateTemp(dir.Name(), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		// A link, not a rename: it refuses to replace what another made.
		if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	if err = errors.Join(err, os.Remove(f.Name()), dir.Sync()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

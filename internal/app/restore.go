package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/carillon-dev/carillon/internal/backup"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/role"
	"github.com/carillon-dev/carillon/internal/secret"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// The embedded server's store, and one that is being restored. It becomes the
// former as a whole.
const (
	storeDir     = "nats"
	restoringDir = "nats.restoring"
)

// Restore makes an installation out of a backup, in the data directory or on an
// empty NATS server, with everything in it paused. file is read twice: before
// anything is written all of it is checked.
func Restore(ctx context.Context, cfg Config, file io.ReadSeeker, told func(backup.Progress)) (*backup.Contents, *backup.Held, error) {
	if err := directory(cfg); err != nil {
		return nil, nil, err
	}
	c, err := backup.Check(file, nil)
	if err != nil {
		return nil, nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	if c.Head.Prefix != cfg.Prefix {
		return nil, nil, fmt.Errorf("the backup is of prefix %q, and here it is %q: set CARILLON_PREFIX to that of the backup", c.Head.Prefix, cfg.Prefix)
	}
	key, err := givenKey(cfg)
	if err != nil {
		return nil, nil, err
	}
	r := &restoration{cfg: cfg, contents: c, keyer: contact.NewKeyer(key)}
	if cfg.NATSURL != "" {
		err = r.into(ctx, engine.Config{NATSOnly: true}, file, told)
	} else {
		err = r.directory(ctx, file, told)
	}
	return c, r.held, err
}

// givenKey reads the installation's key, which nothing makes here.
func givenKey(cfg Config) ([]byte, error) {
	path := cfg.KeyFile
	if path == "" {
		path = filepath.Join(cfg.Data, keyFile)
	}
	b, err := secret.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: no backup has the installation's key, so put it there, or name its file in CARILLON_KEY_FILE", path)
	}
	if err != nil {
		return nil, fmt.Errorf("the installation's key: %w", err)
	}
	return decodeSecret(path, b)
}

// restoration is one restore.
type restoration struct {
	cfg      Config
	contents *backup.Contents
	keyer    contact.Keyer
	held     *backup.Held
}

// directory restores into the data directory: beside where the store belongs,
// without a sync for each record, and there once all of it is on disk.
func (r *restoration) directory(ctx context.Context, file io.Reader, told func(backup.Progress)) error {
	at, beside := filepath.Join(r.cfg.Data, storeDir), filepath.Join(r.cfg.Data, restoringDir)
	if _, err := os.Stat(at); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there: restore into a data directory without a store, with the key alone", at)
	}
	// What a restore left that was cut short is removed by the next one, under the
	// directory's lock: it could be another's that is under way.
	if err := r.into(ctx, engine.Config{NATSOnly: true, Data: r.cfg.Data, Store: restoringDir, Unsynced: true}, file, told); err != nil {
		return err
	}
	if err := syncTree(beside); err != nil {
		return err
	}
	if err := os.Rename(beside, at); err != nil {
		return err
	}
	// Those of the store that was lost, which had come further. Only now: without
	// a store they keep an empty one from being made in its place.
	if err := os.Remove(filepath.Join(r.cfg.Data, engine.MarksFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFile(r.cfg.Data)
}

// into restores on one server.
func (r *restoration) into(ctx context.Context, c engine.Config, file io.Reader, told func(backup.Progress)) (err error) {
	names, err := subject.New(r.cfg.Prefix)
	if err != nil {
		return err
	}
	cfg := r.cfg
	c.NATSURL, c.NATSCredentials, c.NATSNKey = string(cfg.NATSURL), cfg.NATSCredentials, cfg.NATSNKey
	c.NATSCA, c.NATSCert, c.NATSKey, c.NATSSync = cfg.NATSCA, cfg.NATSCert, cfg.NATSKey, "always" // who serves on it is told
	c.NATSInbox, c.Log = role.Restorer.Inbox(names), cfg.Log
	e, err := engine.Start(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Stop()) }()
	replicas := stream.Replicas(cfg.NATSReplicas, e.Clustered())
	r.held, err = backup.Target{NATS: e.NATS, JS: e.JetStream, Replicas: replicas}.Restore(ctx, file, r.contents, r.keyer, told)
	return err
}

// syncTree has everything below a directory on disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFile(path)
	})
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

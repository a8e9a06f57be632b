// Package store reads the files of an embedded JetStream server before that is
// started on them, and says what is damaged. It changes none: a server that
// finds a damaged record cuts its file off there and goes on without the rest,
// which for a ledger would open claims again.
//
// Its invariant: every record of every stream that Check has passed is as it
// was written; but for the last write of a stream, which may be cut off where
// nobody had its acknowledgement yet. Everything that was acknowledged as Marks
// looked on is still there.
//
// The form of the files is the server's own (nats-server 2.15, filestore.go):
// blocks of records, each with its length, sequence, time, subject, headers,
// data and a HighwayHash of these under a key made of stream and block.
package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"
)

// Report is what was read.
type Report struct {
	Streams int
	Records uint64
	Bytes   int64
	Last    map[string]uint64 // the highest sequence that each stream has a trace of
	Torn    []string          // blocks whose last record was cut off
}

// Damage says that files are not as they were written.
type Damage struct {
	File string
	What string
}

// Error is one line that says what to do.
func (d *Damage) Error() string {
	return fmt.Sprintf("%s is damaged: %s; nothing was changed. Restore a backup, or the files of this directory as they were", d.File, d.What)
}

// Check reads every stream of a server's directory, nothing where there is
// none. Its errors: a *Damage, or what could not be read.
func Check(dir string) (Report, error) {
	r := Report{Last: map[string]uint64{}}
	streams, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*"))
	if err != nil {
		return r, err
	}
	for _, s := range streams {
		if i, err := os.Stat(s); err == nil && !i.IsDir() {
			continue // somebody's file: the server passes over it too
		}
		if err := r.stream(s); err != nil {
			return r, err
		}
	}
	return r, nil
}

// stream reads one stream's directory.
func (r *Report) stream(dir string) error {
	name := filepath.Base(dir)
	blocks, err := blocksOf(filepath.Join(dir, "msgs"))
	if err != nil {
		return err
	}
	if err := settings(dir, name, len(blocks) > 0); err != nil {
		return err
	}
	r.Streams++
	r.Last[name] = 0
	for i, n := range blocks {
		path := filepath.Join(dir, "msgs", strconv.Itoa(n)+".blk")
		if err := r.block(path, name, n, i == len(blocks)-1); err != nil {
			return err
		}
	}
	return nil
}

// blocksOf returns the numbers of a stream's blocks, in order.
func blocksOf(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		text, ok := strings.CutSuffix(e.Name(), ".blk")
		if n, err := strconv.Atoi(text); ok && err == nil {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// settings holds a stream's settings against their sum. A stream whose making
// was cut short has no blocks, and is made again.
func settings(dir, name string, written bool) error {
	path := filepath.Join(dir, "meta.inf")
	b, err := os.ReadFile(path)
	sum, sumErr := os.ReadFile(filepath.Join(dir, "meta.sum"))
	missing := errors.Is(err, fs.ErrNotExist) || errors.Is(sumErr, fs.ErrNotExist)
	switch {
	case missing && !written:
		return nil
	case missing:
		return &Damage{path, "a stream's settings, or their sum, are gone"}
	case err != nil || sumErr != nil:
		return errors.Join(err, sumErr)
	}
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		return err
	}
	h.Write(b)
	if hex.EncodeToString(h.Sum(nil)) != strings.TrimSpace(string(sum)) {
		return &Damage{path, "a stream's settings are not those that were written"}
	}
	return nil
}

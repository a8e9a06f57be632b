package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// Mark is how far a stream had come when it was last looked at. It is never
// ahead of what is on disk: only what is there is seen.
type Mark struct {
	Last     uint64 `json:"last"`
	Messages uint64 `json:"messages"`
	Adds     bool   `json:"adds,omitempty"` // messages are only ever added
}

// Marks are those of all streams, by name.
type Marks map[string]Mark

// Behind says what is gone of what was there.
func (m Marks) Behind(is Marks) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		was, now := m[name], is[name]
		_, there := is[name]
		switch {
		case !there:
			return fmt.Errorf("stream %s is gone: it had %d records", name, was.Messages)
		case now.Last < was.Last:
			return fmt.Errorf("stream %s ends at record %d, and went on to %d", name, now.Last, was.Last)
		case was.Adds && now.Messages < was.Messages:
			return fmt.Errorf("stream %s has %d records, and had %d", name, now.Messages, was.Messages)
		}
	}
	return nil
}

// ReadMarks reads what WriteMarks wrote, nil where there is nothing.
func ReadMarks(path string) (Marks, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	body, sum, _ := strings.Cut(string(b), "\n")
	var m Marks
	if strings.TrimSpace(sum) != digest(body) || json.Unmarshal([]byte(body), &m) != nil {
		return nil, fmt.Errorf("%s is damaged; it only says how far streams had come: where everything else is known to be whole, remove it", path)
	}
	return m, nil
}

// WriteMarks replaces a file of marks, whole or not at all, after a power failure
// too. One process at a time may write there.
func WriteMarks(path string, m Marks) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	// Of one name, so that no kill leaves more than one behind.
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\n%s\n", b, digest(string(b)))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

func digest(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])
}

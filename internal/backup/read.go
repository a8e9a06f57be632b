package backup

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server/archive"
)

// maxEntry bounds an entry of a file, in bytes: a part has some 4 MiB, a
// manifest 100 bytes a part.
const maxEntry = 256 << 20

// Contents is what a file that was checked says of itself.
type Contents struct {
	Head     Head
	Manifest Manifest
}

// Progress is how far a file was read.
type Progress struct {
	Stream string // that is being read
	Done   uint64 // records so far, of all streams
	Of     uint64 // about how many there are
	Bytes  int64  // of the file so far
}

// Check reads a file to its end and says what is wrong with it, nil where
// nothing is. told, which may be nil, is called after each part.
func Check(r io.Reader, told func(Progress)) (*Contents, error) {
	c := &checking{told: told, seen: map[string]*Stream{}}
	if err := each(r, c.entry); err != nil {
		return nil, fmt.Errorf("not a whole backup: %w", err)
	}
	if !c.whole {
		return nil, errors.New("not a whole backup: it is cut off")
	}
	return &c.out, nil
}

// each calls fn with the entries of a file, one after the other.
func each(r io.Reader, fn func(name string, b []byte) error) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is damaged or cut off: %w", err)
		}
		if h.Typeflag != tar.TypeReg || h.Size > maxEntry {
			return fmt.Errorf("%q does not belong there", h.Name)
		}
		b, err := io.ReadAll(t)
		if err != nil {
			return fmt.Errorf("%s is damaged or cut off: %w", h.Name, err)
		}
		if err := fn(h.Name, b); err != nil {
			return err
		}
	}
}

// checking is a file that is being read.
type checking struct {
	out      Contents
	told     func(Progress)
	progress Progress
	head     string // SHA-256
	manifest string
	seen     map[string]*Stream // what was read of each
	whole    bool
}

func (c *checking) entry(name string, b []byte) error {
	c.progress.Bytes += int64(len(b))
	stream, isPart := streamOf(name)
	switch {
	case c.whole:
		return fmt.Errorf("%q stands behind its end", name)
	case c.head == "" && name == headName:
		c.head = sum(b)
		return c.begin(b)
	case c.head == "":
		return errors.New("it does not begin as one")
	case isPart && c.manifest == "":
		return c.part(stream, name, b)
	case name == manifestName && c.manifest == "":
		c.manifest = sum(b)
		return parse(name, b, &c.out.Manifest)
	case name == sumName && c.manifest != "":
		return c.end(strings.TrimSpace(string(b)))
	}
	return fmt.Errorf("%q does not belong there", name)
}

// parse reads an entry of JSON and nothing behind it.
func parse(name string, b []byte, into any) error {
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s can't be read: %w", name, err)
	}
	return nil
}

func (c *checking) begin(b []byte) error {
	if err := parse(headName, b, &c.out.Head); err != nil {
		return err
	}
	if f := c.out.Head.Format; f != Format {
		return fmt.Errorf("it has form %d, written by %s; this program reads form %d", f, c.out.Head.By, Format)
	}
	for _, p := range c.out.Head.Plan {
		c.progress.Of += p.Messages
	}
	return nil
}

func (c *checking) part(stream, name string, b []byte) error {
	s := c.seen[stream]
	if s == nil {
		s = &Stream{Name: stream}
		c.seen[stream] = s
	}
	if want := partName(stream, len(s.Parts)+1); name != want {
		return fmt.Errorf("%s stands where %s belongs", name, want)
	}
	p := Part{Bytes: int64(len(b)), SHA256: sum(b)}
	err := records(b, func(h *archive.Header, _ []byte) error {
		if h.Sequence <= s.Last {
			return fmt.Errorf("record %d follows record %d", h.Sequence, s.Last)
		}
		s.Last = h.Sequence
		s.Messages++
		p.Records++
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.Parts = append(s.Parts, p)
	c.progress.Stream, c.progress.Done = stream, c.progress.Done+p.Records
	if c.told != nil {
		c.told(c.progress)
	}
	return nil
}

// records calls fn with the records of a part. The bytes are good until fn
// returns.
func records(b []byte, fn func(*archive.Header, []byte) error) error {
	r := archive.NewReader(s2.NewReader(bytes.NewReader(b)))
	var data bytes.Buffer
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is damaged: %w", err)
		}
		data.Reset()
		if n, err := io.Copy(&data, r); err != nil || n != h.HeaderSize+h.PayloadSize {
			return fmt.Errorf("record %d is damaged", h.Sequence)
		}
		if err := fn(h, data.Bytes()); err != nil {
			return err
		}
	}
}

// end holds what was read against the manifest.
func (c *checking) end(sum string) error {
	m := c.out.Manifest
	switch {
	case sum != c.manifest:
		return fmt.Errorf("%s was changed", manifestName)
	case m.Head != c.head:
		return fmt.Errorf("%s was changed", headName)
	case len(m.Streams) != len(c.out.Head.Plan):
		return fmt.Errorf("%d streams were copied, and %d were to be", len(m.Streams), len(c.out.Head.Plan))
	}
	for i, s := range m.Streams {
		if s.Name != c.out.Head.Plan[i].Name || s.Name != s.Config.Name {
			return fmt.Errorf("%s is copied where %s belongs", s.Name, c.out.Head.Plan[i].Name)
		}
		got := c.seen[s.Name]
		if got == nil {
			got = &Stream{}
		}
		for n, p := range s.Parts {
			if n < len(got.Parts) && got.Parts[n] != p {
				return fmt.Errorf("%s was changed", partName(s.Name, n+1))
			}
		}
		if !slices.Equal(got.Parts, s.Parts) || got.Messages != s.Messages || got.Last > s.Last {
			return fmt.Errorf("stream %s has %d parts and %d records, and %d and %d were written", s.Name, len(got.Parts), got.Messages, len(s.Parts), s.Messages)
		}
		delete(c.seen, s.Name)
	}
	for name := range c.seen {
		return fmt.Errorf("stream %s is in it, and was not copied", name)
	}
	c.whole = true
	return nil
}

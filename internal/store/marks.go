package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// Mark is how far a stream had come.
type Mark struct {
	Last     uint64 // the highest sequence that was acknowledged
	Messages uint64 // how many records it had when they were last counted; 0: they never were
	Adds     bool   // records are only ever added
}

// Marks is a file that says how far each stream had come, since a file of a
// stream that lost its end looks whole by itself. It stands where the streams
// do, has one line of a fixed size for each, and is never ahead of them: only
// what is on disk is acknowledged, and only what is acknowledged is noted. A
// line that was written is there after a kill; after a power failure it may be
// older by what Sync was not called for.
//
// It is safe for concurrent use; one process at a time may have it open.
type Marks struct {
	path string

	mu     sync.Mutex
	f      *os.File
	is     map[string]Mark
	lines  map[string]int // where each stands
	buf    []byte
	dirty  bool  // written since Sync
	failed error // the first failure since Sync
}

// The form of the file. No line crosses the border of a sector, so that one
// write of it happens or does not.
const (
	lineSize   = 512
	firstLine  = "carillon marks 1"
	maxName    = 255 // bytes of a stream's name: the server's limit
	lineFormat = "%s %d %d %t"
)

// OpenMarks opens a file of marks, and makes it where there is none.
func OpenMarks(path string) (*Marks, error) {
	m := &Marks{path: path, is: map[string]Mark{}, lines: map[string]int{}}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = m.create()
	case err == nil && bytes.HasPrefix(b, []byte("{")):
		if err = m.parseOlder(b); err == nil {
			err = m.create()
		}
	case err == nil:
		err = m.parse(b)
	}
	if err == nil {
		m.f, err = os.OpenFile(path, os.O_WRONLY, 0)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// create makes the file with the marks that there are, whole or not at all.
func (m *Marks) create() error {
	b := bytes.Clone(seal(nil, firstLine))
	for i, name := range slices.Sorted(maps.Keys(m.is)) {
		m.lines[name] = i + 1
		b = append(b, m.line(name, m.is[name])...)
	}
	f, err := os.OpenFile(m.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) // of one name: no kill leaves more than one behind
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), m.path)
}

// line is a stream's line, until the next one is asked for.
func (m *Marks) line(stream string, mark Mark) []byte {
	m.buf = seal(m.buf, fmt.Sprintf(lineFormat, stream, mark.Last, mark.Messages, mark.Adds))
	return m.buf
}

// seal makes a line out of a text.
func seal(b []byte, text string) []byte {
	b = fmt.Appendf(b[:0], "%s %08x", text, crc32.ChecksumIEEE([]byte(text)))
	for len(b) < lineSize-1 {
		b = append(b, ' ')
	}
	return append(b, '\n')
}

// unseal returns the text of a line, false where it is not as it was written.
func unseal(line []byte) (text string, ok bool) {
	text = strings.TrimRight(string(line), " \n")
	text = text[:max(0, strings.LastIndexByte(text, ' '))]
	return text, bytes.Equal(line, seal(nil, text))
}

// parseOlder reads the form in which the file was written anew each time: marks
// in JSON, and on the next line their SHA-256.
func (m *Marks) parseOlder(b []byte) error {
	body, sum, _ := strings.Cut(string(b), "\n")
	is := sha256.Sum256([]byte(body))
	if strings.TrimSpace(sum) != hex.EncodeToString(is[:]) || json.Unmarshal([]byte(body), &m.is) != nil {
		return m.damaged()
	}
	return nil
}

func (m *Marks) damaged() error {
	return fmt.Errorf("%s is damaged; it only says how far streams had come: where everything else is known to be whole, remove it", m.path)
}

func (m *Marks) parse(b []byte) error {
	if text, ok := unseal(b[:min(lineSize, len(b))]); !ok || text != firstLine || len(b)%lineSize != 0 {
		return m.damaged()
	}
	for i := 1; i < len(b)/lineSize; i++ {
		line := b[i*lineSize:][:lineSize]
		if len(bytes.Trim(line, "\x00")) == 0 {
			continue // room that the disk gave before power failed
		}
		var name string
		var mark Mark
		text, ok := unseal(line)
		if _, err := fmt.Sscanf(text, lineFormat, &name, &mark.Last, &mark.Messages, &mark.Adds); !ok || err != nil {
			return m.damaged()
		}
		m.is[name], m.lines[name] = mark, i
	}
	return nil
}

// All returns every mark, by the stream's name.
func (m *Marks) All() map[string]Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.is)
}

// Acked notes that a stream has acknowledged a record. It is in the system's
// hands when this returns, and outlives the process. What fails is said by Sync.
func (m *Marks) Acked(stream string, last uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if mark := m.is[stream]; last > mark.Last {
		mark.Last = last
		m.note(stream, mark)
	}
}

// Counted notes how many records a stream has. What fails is said by Sync.
func (m *Marks) Counted(stream string, messages uint64, adds bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if mark := m.is[stream]; mark.Messages != messages || mark.Adds != adds {
		mark.Messages, mark.Adds = messages, adds
		m.note(stream, mark)
	}
}

// note writes a stream's line.
func (m *Marks) note(stream string, mark Mark) {
	at, there := m.lines[stream]
	if !there {
		at = len(m.lines) + 1
	}
	if len(m.line(stream, mark)) != lineSize || len(stream) > maxName {
		m.fail(fmt.Errorf("stream %s: its name is too long", stream))
		return
	}
	if n, err := m.f.WriteAt(m.buf, int64(at)*lineSize); err != nil {
		if !there && n > 0 { // part of a line is damage
			err = errors.Join(err, m.f.Truncate(int64(at)*lineSize))
		}
		m.fail(err)
		return
	}
	m.is[stream], m.lines[stream], m.dirty = mark, at, true
}

func (m *Marks) fail(err error) {
	if m.failed == nil {
		m.failed = err
	}
}

// Sync has what was noted on disk, and returns the first failure since the
// last call.
func (m *Marks) Sync() error {
	m.mu.Lock()
	dirty, err := m.dirty, m.failed
	m.dirty, m.failed = false, nil
	m.mu.Unlock()
	if dirty { // acknowledgements don't wait for it
		err = errors.Join(err, m.f.Sync())
	}
	return err
}

// Close has everything on disk and ends the file's use.
func (m *Marks) Close() error { return errors.Join(m.Sync(), m.f.Close()) }

// Behind says what files lack of what was acknowledged, nil where that is
// nothing. For a stream that is not known yet it notes how far that has come.
func (m *Marks) Behind(r Report) error {
	was := m.All()
	for _, name := range slices.Sorted(maps.Keys(was)) {
		last, there := r.Last[name]
		switch {
		case !there:
			return m.lost("stream %s is gone: it had %d records", name, was[name].Messages)
		case last < was[name].Last:
			return m.lost("stream %s ends at record %d, and went on to %d", name, last, was[name].Last)
		}
	}
	for name, last := range r.Last {
		if _, known := was[name]; !known {
			m.Acked(name, last)
		}
	}
	return nil
}

// Fewer says which stream that only adds has fewer records than it had, nil
// where none has.
func (m *Marks) Fewer(messages map[string]uint64) error {
	was := m.All()
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if mark := was[name]; mark.Adds && messages[name] < mark.Messages {
			return m.lost("stream %s has %d records, and had %d", name, messages[name], mark.Messages)
		}
	}
	return nil
}

// lost says what to do about it.
func (m *Marks) lost(format string, args ...any) error {
	return fmt.Errorf("%s; going on could send again what was sent: restore a backup, or the files as they were. Where this was meant, remove %s",
		fmt.Sprintf(format, args...), m.path)
}

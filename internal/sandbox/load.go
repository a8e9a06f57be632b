package sandbox

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	// maxRow is the longest line of an upload; longer ones are bad rows.
	maxRow = 1 << 20
	// rowsAtOnce is how many rows are entered under one lock.
	rowsAtOnce = 512
)

// personRow is one row of an upload: a person as a business knows them.
type personRow struct {
	ID          flexible `json:"id"`
	LastInbound string   `json:"last_inbound"` // RFC 3339; empty: never wrote
	OpenedBy    string   `json:"opened_by"`    // empty: message
	OptedOut    string   `json:"opted_out"`    // empty, all or marketing
}

// entry is a row that was understood.
type entry struct {
	id    string
	at    int64 // 0: never wrote
	ad    bool
	flags personFlags
}

// opens says whether a kind of action opens the window, and whether it is the
// first message after an ad.
func opens(kind string) (ad bool, err error) {
	kinds := []string{"", "message", "postback", "referral", "optin", "reaction", "ad_message"}
	if !slices.Contains(kinds, kind) {
		return false, fmt.Errorf("%q opens no window: use one of %s", kind, strings.Join(kinds[1:], ", "))
	}
	return kind == "ad_message", nil
}

func (r personRow) entry() (entry, error) {
	e := entry{id: string(r.ID)}
	if e.id == "" || len(e.id) > maxRecipientBytes {
		return e, fmt.Errorf("id must have 1 to %d bytes", maxRecipientBytes)
	}
	if r.LastInbound != "" {
		t, err := time.Parse(time.RFC3339, r.LastInbound)
		if err != nil {
			return e, errors.New("last_inbound must be a time as 2026-11-22T10:00:00Z")
		}
		e.at = t.UnixNano()
	}
	var err error
	if e.ad, err = opens(r.OpenedBy); err != nil {
		return e, fmt.Errorf("opened_by: %w", err)
	}
	switch r.OptedOut {
	case "":
	case "all":
		e.flags = optedOutAll
	case "marketing":
		e.flags = optedOutMarketing
	default:
		return e, errors.New("opted_out must be empty, all or marketing")
	}
	return e, nil
}

// Loaded is what became of an upload.
type Loaded struct {
	Loaded   int    `json:"loaded"`
	Bad      int    `json:"bad"`
	FirstBad string `json:"first_bad,omitempty"` // where and why, never the row itself
}

// LoadPeople enters persons of an account from CSV with a header, or from
// NDJSON where the first byte is a brace. Rows that can't be read are counted.
// A row adds to what is known: the newest inbound counts, and an opt-out stays.
// The error says that reading stopped; what came before is entered.
func (s *Sandbox) LoadPeople(account string, r io.Reader) (Loaded, error) {
	if err := (Account{Account: account}).validate(); err != nil {
		return Loaded{}, err
	}
	in := bufio.NewReaderSize(r, 64<<10)
	if bom, _ := in.Peek(3); string(bom) == "\xef\xbb\xbf" {
		in.Discard(3)
	}
	l := loader{s: s, account: account}
	read := l.csv
	if b, _ := in.Peek(1); len(b) == 1 && b[0] == '{' {
		read = l.ndjson
	}
	err := read(in)
	l.flush()
	return l.done, err
}

// loader collects rows so that the books are locked once for many.
type loader struct {
	s       *Sandbox
	account string
	rows    []entry
	done    Loaded
}

func (l *loader) add(line int, row personRow, err error) {
	var e entry
	if err == nil {
		e, err = row.entry()
	}
	if err != nil {
		l.done.Bad++
		if l.done.FirstBad == "" {
			l.done.FirstBad = fmt.Sprintf("line %d: %v", line, err)
		}
		return
	}
	l.rows = append(l.rows, e)
	if len(l.rows) == rowsAtOnce {
		l.flush()
	}
}

func (l *loader) flush() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	a := l.s.books.account(l.account)
	for _, e := range l.rows {
		p := l.s.books.person(a, e.id, 0)
		p.wrote(e.at, e.ad)
		p.flags |= e.flags
	}
	l.done.Loaded += len(l.rows)
	l.rows = l.rows[:0]
}

func (l *loader) csv(in *bufio.Reader) error {
	r := csv.NewReader(in)
	r.ReuseRecord, r.FieldsPerRecord = true, -1
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("read the CSV header: %w", err)
	}
	columns := map[string]int{}
	for i, name := range header {
		columns[strings.ToLower(strings.TrimSpace(name))] = i
	}
	if _, ok := columns["id"]; !ok {
		return errors.New("the CSV header has no column id: the first line must name the columns")
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if bad, ok := errors.AsType[*csv.ParseError](err); ok {
			l.add(bad.StartLine, personRow{}, bad.Err)
			continue
		}
		if err != nil {
			return fmt.Errorf("read the CSV: %w", err)
		}
		line, _ := r.FieldPos(0)
		l.add(line, fromRecord(record, columns), nil)
	}
}

func fromRecord(record []string, columns map[string]int) personRow {
	field := func(name string) string {
		if i, ok := columns[name]; ok && i < len(record) {
			return strings.TrimSpace(record[i])
		}
		return ""
	}
	return personRow{ID: flexible(field("id")), LastInbound: field("last_inbound"),
		OpenedBy: field("opened_by"), OptedOut: field("opted_out")}
}

func (l *loader) ndjson(in *bufio.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxRow)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var row personRow
		err := json.Unmarshal(lines.Bytes(), &row)
		if err != nil {
			err = errors.New("not a JSON object with id, last_inbound, opened_by, opted_out as text")
		}
		l.add(n, row, err)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the NDJSON (lines of up to %d bytes): %w", maxRow, err)
	}
	return nil
}

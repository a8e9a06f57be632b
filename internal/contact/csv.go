package contact

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The bounds of a row. A longer one is a bad row, not a bigger buffer.
const (
	MaxRow     = 64 << 10 // bytes, line breaks in quotes included
	MaxColumns = 256
	maxID      = 256
	maxZone    = 64   // the longest IANA name has 32
	maxQuoted  = 40   // of a value that a reason quotes
	maxZones   = 2000 // remembered; there are about 600
)

// BadRow is one row that could not be taken in.
type BadRow struct {
	Line   int    `json:"line"` // of the file, counted from 1, header included
	Reason string `json:"reason"`
}

// Error says where and why.
func (b *BadRow) Error() string { return fmt.Sprintf("line %d: %s", b.Line, b.Reason) }

// Rows reads contacts from a CSV in constant memory.
type Rows struct {
	csv    *csv.Reader
	lines  *lineLimit
	sender string
	cols   []string // header, lower case for the known ones
	at     time.Time
	zones  map[string]bool // of those seen, whether they exist
	line   int             // where the last row began that could be read
}

// ErrOther says that a row's column sender names another sender.
var ErrOther = errors.New("a contact of another sender")

// NewRows reads the header. The reader's rows become updates of a sender's
// contacts, observed at the given moment. Errors name what is wrong with the
// header.
func NewRows(r io.Reader, sender string, at time.Time) (*Rows, error) {
	lines := &lineLimit{r: bufio.NewReaderSize(r, 64<<10)}
	lines.skipBOM()
	c := csv.NewReader(lines)
	c.ReuseRecord = true
	c.FieldsPerRecord = -1
	head, err := c.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("line 1: the file is empty: want a header row with a column id")
	}
	if err != nil {
		return nil, fmt.Errorf("line 1: header row: %w", err)
	}
	cols, err := columns(head)
	if err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	return &Rows{csv: c, lines: lines, sender: sender, cols: cols, at: at, zones: map[string]bool{}, line: 1}, nil
}

func columns(head []string) ([]string, error) {
	if len(head) > MaxColumns {
		return nil, fmt.Errorf("%d columns, at most %d", len(head), MaxColumns)
	}
	if rowSize(head) > MaxRow {
		return nil, fmt.Errorf("header row is longer than %d bytes", MaxRow)
	}
	cols := make([]string, len(head))
	for i, h := range head {
		c := strings.TrimSpace(h)
		if slices.Contains(known(), strings.ToLower(c)) {
			c = strings.ToLower(c)
		}
		switch {
		case c == "":
			return nil, fmt.Errorf("column %d has no name", i+1)
		case !utf8.ValidString(c):
			return nil, fmt.Errorf("the name of column %d is not UTF-8: save the file as UTF-8", i+1)
		case slices.Contains(cols[:i], c):
			return nil, fmt.Errorf("column %q stands twice", quoted(c))
		case !slices.Contains(known(), c) && meant(c) != "":
			return nil, fmt.Errorf("column %q would be an attribute: did you mean %s?", quoted(c), meant(c))
		}
		cols[i] = strings.Clone(c)
	}
	if !slices.Contains(cols, "id") {
		return nil, errors.New(`no column "id": want a header row such as id,name,last_inbound,labels,timezone`)
	}
	return cols, nil
}

// meant returns the known column that a name is only written differently
// from. An opt-out that is taken for an attribute would protect nobody.
func meant(name string) string {
	plain := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == '_' || r == '-' || r == ' ' {
				return -1
			}
			return unicode.ToLower(r)
		}, s)
	}
	for _, k := range known() {
		if plain(name) == plain(k) {
			return k
		}
	}
	return ""
}

// quoted cuts a value to what a reason shows of it: a file has any number of
// bad rows, and a report of them must stay readable.
func quoted(v string) string {
	if len(v) <= maxQuoted {
		return v
	}
	return strings.ToValidUTF8(v[:maxQuoted], "") + "…"
}

func known() []string {
	return []string{"id", "sender", "name", "last_inbound", "opened_by", "opted_out", "sms_consent", "labels", "timezone"}
}

// Next returns the next row as an update, a *BadRow for a row that can't be
// taken in or ErrOther for another sender's (the following rows can still be
// read), or io.EOF. Any other error ends the file.
func (r *Rows) Next() (Update, error) {
	r.lines.begin()
	rec, err := r.csv.Read()
	if err != nil {
		if pe, ok := errors.AsType[*csv.ParseError](err); ok {
			return Update{}, &BadRow{pe.StartLine, pe.Err.Error()}
		}
		if errors.Is(err, io.EOF) {
			return Update{}, err
		}
		return Update{}, fmt.Errorf("after line %d: %w", r.line, err)
	}
	r.line, _ = r.csv.FieldPos(0)
	if r.isOther(rec) {
		return Update{}, ErrOther
	}
	u, why := r.update(rec)
	if why != "" {
		return Update{}, &BadRow{r.line, why}
	}
	return u, nil
}

func (r *Rows) isOther(rec []string) bool {
	i := slices.Index(r.cols, "sender")
	return i >= 0 && i < len(rec) && strings.TrimSpace(rec[i]) != "" && strings.TrimSpace(rec[i]) != r.sender
}

func (r *Rows) update(rec []string) (Update, string) {
	if rowSize(rec) > MaxRow {
		return Update{}, fmt.Sprintf("row is longer than %d bytes", MaxRow)
	}
	if len(rec) != len(r.cols) {
		return Update{}, fmt.Sprintf("%d columns, the header has %d", len(rec), len(r.cols))
	}
	u := Update{Profile: &Profile{At: r.at}}
	for i, v := range rec {
		if !utf8.ValidString(v) {
			return Update{}, fmt.Sprintf("column %s is not UTF-8", quoted(r.cols[i]))
		}
		if why := r.set(&u, r.cols[i], strings.TrimSpace(v)); why != "" {
			return Update{}, why
		}
	}
	if u.Address == "" {
		return Update{}, "id is empty"
	}
	return u, ""
}

func rowSize(rec []string) int {
	n := 0
	for _, f := range rec {
		n += len(f) + 1
	}
	return n
}

func (r *Rows) set(u *Update, col, v string) (why string) {
	if v == "" {
		return ""
	}
	v = strings.Clone(v)
	switch col {
	case "sender": // it is ours: isOther has looked
	case "id":
		if !ValidAddress(v) {
			return fmt.Sprintf("id must be at most %d bytes without spaces or slashes", maxID)
		}
		u.Address = v
	case "name":
		u.Profile.Name = v
	case "last_inbound":
		return r.setInbound(u, v)
	case "opened_by":
		if !slices.Contains(openers(), v) {
			return fmt.Sprintf("opened_by %q: want one of %s", quoted(v), strings.Join(openers(), ", "))
		}
		u.OpenedBy = v
	case "opted_out":
		if v != string(All) && v != string(Marketing) {
			return fmt.Sprintf("opted_out %q: want nothing, all or marketing", quoted(v))
		}
		u.OptOut, u.Standing = &OptOut{Scope: Scope(v), At: r.at, Source: "import"}, true
	case "sms_consent":
		if v != "true" && v != "false" {
			return fmt.Sprintf("sms_consent %q: want nothing, true or false", quoted(v))
		}
		u.SMSConsent = v == "true" // false takes nothing back: that is what an opt-out is for
	case "labels":
		u.Profile.Labels = splitLabels(v)
	case "timezone":
		if !r.zoneExists(v) {
			return fmt.Sprintf("timezone %q is not an IANA time zone such as Europe/Oslo", quoted(v))
		}
		u.Profile.Timezone = v
	default:
		if u.Profile.Attributes == nil {
			u.Profile.Attributes = make(map[string]string, 4)
		}
		u.Profile.Attributes[col] = v
	}
	return ""
}

func openers() []string {
	return []string{"message", "postback", "referral", "optin", "reaction", "ad_message"}
}

// maxSkew is how far the clock of who wrote the file may be ahead of ours. A
// later inbound would hold a window open that nobody opened.
const maxSkew = 5 * time.Minute

func (r *Rows) setInbound(u *Update, v string) string {
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return fmt.Sprintf("last_inbound %q: want RFC 3339 such as 2026-11-22T10:00:00Z", quoted(v))
	}
	if t.After(r.at.Add(maxSkew)) {
		return fmt.Sprintf("last_inbound %q lies in the future", v)
	}
	u.LastInbound = t.UTC()
	return ""
}

func splitLabels(v string) []string {
	var ls []string
	for l := range strings.SplitSeq(v, ";") {
		if l = strings.TrimSpace(l); l != "" {
			ls = append(ls, l)
		}
	}
	slices.Sort(ls)
	return slices.Compact(ls)
}

// zoneExists remembers what it looked up: loading a zone reads its rules. The
// memory is bounded, since bad rows may name any number of zones.
func (r *Rows) zoneExists(name string) bool {
	ok, seen := r.zones[name]
	if !seen && len(name) <= maxZone {
		ok = zoneExists(name)
		if len(r.zones) < maxZones {
			r.zones[name] = ok
		}
	}
	return ok
}

func zoneExists(name string) bool {
	if len(name) > maxZone || name == "Local" {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}

// lineLimit counts what one row takes from the file and cuts a quote that was
// never closed, which would otherwise swallow the rest of it. What follows the
// cut is no row, so that nothing is read after it.
type lineLimit struct {
	r *bufio.Reader
	n int // bytes that the row has taken so far
}

// maxTaken is above MaxRow, so that a row that is merely too long is passed
// over as a bad one and the rows behind it go in.
const maxTaken = MaxRow + 1<<20

func (l *lineLimit) begin() {
	if l.n <= maxTaken {
		l.n = 0
	}
}

func (l *lineLimit) skipBOM() {
	if b, err := l.r.Peek(3); err == nil && string(b) == "\xef\xbb\xbf" {
		_, _ = l.r.Discard(3)
	}
}

func (l *lineLimit) Read(p []byte) (int, error) {
	if l.n > maxTaken {
		return 0, fmt.Errorf("a row is longer than %d bytes: is a quote left open?", maxTaken)
	}
	n, err := l.r.Read(p)
	l.n += n
	return n, err
}

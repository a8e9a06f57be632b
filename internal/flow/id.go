package flow

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"

	"github.com/carillon-dev/carillon/internal/job"
)

// MaxID is how long a flow's id may be, so that with a run and a step it makes
// the name of a source.
const MaxID = 40

// ID names one run. Its text is the flow's id, "~", and 36 characters, of which
// the first 26 are the contact's key:
//
//	order-shipped~ytu6zqk3nq2gq5l5k3m7q2dwhae5c2b7qk4m
type ID struct {
	Flow    string
	Contact job.Key // of the run's first identity
	Slot    string  // SlotSize characters, of what it is once for
}

// SlotSize is how long a slot is: 50 bits, unique for one contact in one flow.
const SlotSize = 10

var errID = fmt.Errorf("want FLOW~RUN, as flow runs prints it")

func coding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// SlotOf derives a slot from what a run is once for: nothing more for once for
// each contact, a key's value, or an event's source and id.
func SlotOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return coding().EncodeToString(h.Sum(nil))[:SlotSize]
}

// String returns the id's textual form.
func (id ID) String() string {
	return id.Flow + "~" + coding().EncodeToString(id.Contact[:]) + id.Slot
}

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	flow, run, ok := strings.Cut(s, "~")
	n := coding().EncodedLen(len(job.Key{}))
	if !ok || flow == "" || len(flow) > MaxID || len(run) != n+SlotSize || !job.ValidToken(flow+run) || strings.Contains(run, "~") {
		return ID{}, fmt.Errorf("run %q: %w", s, errID)
	}
	b, err := coding().DecodeString(run[:n])
	if err != nil || coding().EncodeToString(b) != run[:n] {
		return ID{}, fmt.Errorf("run %q: %w", s, errID)
	}
	id := ID{Flow: flow, Slot: run[n:]}
	copy(id.Contact[:], b)
	return id, nil
}

// Place is where in which version of a flow something was asked for.
type Place struct {
	Version int
	At      int // instruction
	Visit   int // of it, from 1, over all rounds of the run's slot
	Try     int // of a message: 0 itself, then the places in Otherwise; of a notice the places in To
}

// String returns the place as it stands in the name of a source and in the id
// of an effect.
func (p Place) String() string {
	return strconv.Itoa(p.Version) + "-" + strconv.Itoa(p.At) + "-" + strconv.Itoa(p.Visit) + "-" + strconv.Itoa(p.Try)
}

// ParsePlace reads what String wrote.
func ParsePlace(s string) (Place, error) {
	parts := strings.Split(s, "-")
	var n [4]int
	if len(parts) != len(n) {
		return Place{}, fmt.Errorf("place %q: want VERSION-STEP-VISIT-TRY", s)
	}
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil || v < 0 || strconv.Itoa(v) != p {
			return Place{}, fmt.Errorf("place %q: want VERSION-STEP-VISIT-TRY", s)
		}
		n[i] = v
	}
	return Place{n[0], n[1], n[2], n[3]}, nil
}

// Source returns the name of the source that a message of the run is sent
// under, which leads back to run and step.
func (id ID) Source(p Place) string { return id.String() + "~" + p.String() }

// ParseSource reads what Source wrote. It reports false for a source that is no
// flow's.
func ParseSource(name string) (ID, Place, bool) {
	i := strings.LastIndexByte(name, '~')
	if i < 0 {
		return ID{}, Place{}, false
	}
	id, err := ParseID(name[:i])
	if err != nil {
		return ID{}, Place{}, false
	}
	p, err := ParsePlace(name[i+1:])
	return id, p, err == nil
}

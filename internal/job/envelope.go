package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxJobs is how many jobs an envelope carries at the most: the limit of one
// Graph batch.
const MaxJobs = 50

// Ref is one job in an envelope: its contact, and the ledger sequence that
// its claim must find (0 for a job without a record). A task from before a
// redrive carries an older sequence, and its claim loses.
type Ref struct {
	Contact Key    `json:"c"`
	Seq     uint64 `json:"s,omitempty"`
	Attempt int    `json:"a,omitempty"` // claims made so far

	// Ends is when nobody wants the message any more; zero: when its source
	// ends, as of every broadcast's.
	Ends time.Time `json:"e,omitzero"`
}

// Envelope is one queue task: 1 to MaxJobs jobs of one source. It carries ids
// only; what is sent is read when it is sent.
//
//	{"v":1,"month":"202611","part":0,"sender":"bakery","source":"spring-menu~1",
//	 "jobs":[{"c":"5kPq0cVYtB3n1xW7uR2mJg"},{"c":"…","s":4711}]}
type Envelope struct {
	Source Source
	Jobs   []Ref
}

type envelopeWire struct {
	Version int    `json:"v"`
	Month   string `json:"month"`
	Part    int    `json:"part"`
	Sender  string `json:"sender"`
	Source  string `json:"source"`
	Jobs    []Ref  `json:"jobs"`
}

const envelopeVersion = 1

// Encode returns the envelope's wire form. It refuses what DecodeEnvelope
// would refuse, so that nothing is queued that no worker can read.
func (e Envelope) Encode() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("envelope of %q: %w", e.Source.Name, err)
	}
	return json.Marshal(envelopeWire{envelopeVersion, e.Source.Month, e.Source.Part, e.Source.Sender, e.Source.Name, e.Jobs})
}

var errEnvelope = errors.New("not an envelope of this version")

// DecodeEnvelope reads what Encode wrote and refuses anything else.
func DecodeEnvelope(b []byte) (Envelope, error) {
	var w envelopeWire
	if err := json.Unmarshal(b, &w); err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", errEnvelope, err)
	}
	if w.Version != envelopeVersion {
		return Envelope{}, fmt.Errorf("%w: version %d, want %d", errEnvelope, w.Version, envelopeVersion)
	}
	e := Envelope{Source: Source{Month: w.Month, Part: w.Part, Sender: w.Sender, Name: w.Source}, Jobs: w.Jobs}
	if err := e.check(); err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", errEnvelope, err)
	}
	return e, nil
}

func (e Envelope) check() error {
	if !e.Source.valid() {
		return fmt.Errorf("source %+v: want month, part, sender and name as in a job id", e.Source)
	}
	if n := len(e.Jobs); n == 0 || n > MaxJobs {
		return fmt.Errorf("%d jobs, want 1 to %d", n, MaxJobs)
	}
	seen := make(map[Key]bool, len(e.Jobs))
	for _, j := range e.Jobs {
		if seen[j.Contact] {
			return fmt.Errorf("contact %s twice", j.Contact)
		}
		if j.Attempt < 0 {
			return fmt.Errorf("contact %s: attempt %d", j.Contact, j.Attempt)
		}
		if j.Seq == 0 && e.Source.Flow() != "" {
			return fmt.Errorf("contact %s: a job of a flow has a record before it is claimed", j.Contact)
		}
		seen[j.Contact] = true
	}
	return nil
}

package sandbox

// outcome is what became of a call; every call has exactly one.
type outcome uint8

const (
	outAccepted outcome = iota // a message was taken
	outActed                   // a sender action was taken
	outRefused                 // answered with an error, or would have been
	outDropped                 // cut before it was looked at
	outFailed                  // broken without being looked at, connection kept
	outcomes                   // how many there are
)

func (o outcome) String() string {
	return [...]string{"accepted", "acted", "refused", "dropped", "failed"}[o]
}

// callRecord is one call as the list of calls shows it.
type callRecord struct {
	row        // at: its arrival
	metadata   string
	message    uint64 // sequence number of the accepted message; 0: none
	batch      uint32
	position   uint8
	outcome    outcome
	answered   bool // a Graph answer went out
	violations violation
	fault      FaultKind
	status     int // of the answer; of a batch item, inside the batch
	code       int
	subcode    int
}

// counts are an account's totals.
type counts struct {
	calls      uint64
	outcomes   [outcomes]uint64
	unanswered uint64            // accepted, and nobody was told
	refused    map[string]uint64 // by code or code/subcode
	violations [5]uint64         // by bit
	metadata   uint64            // acceptances of a metadata accepted before
	message    uint64            // the same, for the same person
}

func (c *counts) count(r callRecord, err *graphError) {
	c.calls++
	c.outcomes[r.outcome]++
	if r.outcome == outAccepted && !r.answered {
		c.unanswered++
	}
	if r.outcome == outRefused {
		if c.refused == nil {
			c.refused = map[string]uint64{}
		}
		c.refused[err.key()]++
	}
	for i := range c.violations {
		c.violations[i] += uint64(r.violations >> i & 1)
	}
}

// Summary is what happened so far, of one account or of all.
// Calls = Accepted + Acted + Refused + Dropped + Failed.
type Summary struct {
	Seed          uint64            `json:"seed"`
	Calls         uint64            `json:"calls"`
	Accepted      uint64            `json:"accepted"`
	Unanswered    uint64            `json:"accepted_unanswered"` // of Accepted
	Acted         uint64            `json:"acted"`
	Refused       uint64            `json:"refused"`
	RefusedByCode map[string]uint64 `json:"refused_by_code"`
	Dropped       uint64            `json:"dropped"` // nothing accepted, connection cut
	Failed        uint64            `json:"failed"`  // nothing accepted, no Graph answer
	Duplicates    Duplicates        `json:"duplicates"`
	Violations    map[string]uint64 `json:"violations"`
}

// Duplicates counts acceptances that repeat an earlier one. Messages without
// metadata are not looked at.
type Duplicates struct {
	Metadata uint64 `json:"metadata"` // the same metadata, for anybody
	Message  uint64 `json:"message"`  // the same metadata, account and person
}

// newSummary counts nothing; every violation is named, so that a reader sees
// what is looked for.
func newSummary(seed uint64) Summary {
	s := Summary{Seed: seed, RefusedByCode: map[string]uint64{}, Violations: map[string]uint64{}}
	for _, name := range allViolations.names() {
		s.Violations[name] = 0
	}
	return s
}

func (s *Summary) add(c *counts) {
	s.Calls += c.calls
	s.Accepted += c.outcomes[outAccepted]
	s.Acted += c.outcomes[outActed]
	s.Refused += c.outcomes[outRefused]
	s.Dropped += c.outcomes[outDropped]
	s.Failed += c.outcomes[outFailed]
	s.Unanswered += c.unanswered
	s.Duplicates.Metadata += c.metadata
	s.Duplicates.Message += c.message
	for key, n := range c.refused {
		s.RefusedByCode[key] += n
	}
	for i, n := range c.violations {
		s.Violations[violation(1 << i).names()[0]] += n
	}
}

// Package model is the promises of Carillon as a game: a few messages, two
// workers that may die at any step, a platform whose answers get lost, and
// people and operators who say stop in the middle. A history is a list of
// actions; World plays it and says at which action which promise broke.
//
// It is pure and small, so that histories are walked by the hundred thousand,
// and it is exact: the same history played by the real worker on real engines
// leaves the same records. It knows the moves of jobs from internal/job and
// nothing else of the program, and it is imported by tests alone.
//
// What it leaves out: time (a claim lapses when an action says so), the rate,
// batches, and flows, whose jobs are claimed and settled by the same code.
package model

import (
	"slices"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// The world's sizes. Job 0 and 1 are of source 0, for contacts 0 and 1; job 2
// is of source 1, for contact 0.
const (
	Jobs     = 3
	Contacts = 2
	Sources  = 2
	Workers  = 2
)

// ContactOf returns whom a job is for.
func ContactOf(j int) int { return j % Contacts }

// SourceOf returns which source a job is of.
func SourceOf(j int) int { return j / Contacts }

// maxAttempts is how often a refusal that the platform may take back is tried
// before the job ends as failed.
const maxAttempts = 3

// Record is one move of a job, as the ledger has it.
type Record struct {
	Seq, Prev   int // ascending over all jobs; Prev 0: the job's first
	State, From job.State
	Reason      reason.Code
	Attempt     int
	Discarded   bool
}

// Task is what the queue delivers, as often and as late as it likes.
type Task struct{ Job, Seq, Attempt int }

// stage is how far a worker has come with its task.
type stage uint8

const (
	idle      stage = iota
	peeked          // it may go, and is not claimed
	claimed         // and not rechecked
	wire            // rechecked: the call has begun
	answering       // the platform has decided, the worker does not know
	settling        // the outcome is known, and not recorded
)

// worker is one process with at most one task.
type worker struct {
	stage   stage
	task    Task
	claim   int    // the claim's sequence; 0: none
	lapsed  bool   // its claim was called unknown: nothing may leave by it
	answer  Record // answering: the outcome once it is known
	outcome Record // settling
	sight   int    // when it looked last, counted in actions
	won     int    // when it claimed
	blind   bool   // it could not see when it looked last
}

// line is how far a request to stop has come.
type line uint8

const (
	open     line = iota
	kept          // durable
	inForce       // every look sees it
	answered      // the one who asked was told: from now on nothing leaves
)

// source is one broadcast.
type source struct {
	state job.State // "": running; Held: paused; Cancelled, Expired
	line  line      // of a pause or a cancellation
	tally [states]int
}

// fate is what became of one job at the platform, which the ledger can't know.
type fate struct {
	accepted int  // how often the platform took it
	by       int  // the claim by which it did so last
	spent    bool // once more would be once too often
	died     int  // the newest claim whose worker died
	doubt    bool // its outcome was unknown once
}

// World is one run of the game. The zero value is no world; see New.
type World struct {
	logs     [Jobs][]Record
	fates    [Jobs]fate
	tasks    []Task
	workers  [Workers]worker
	contacts [Contacts]line // of their opt-outs
	sources  [Sources]source
	blind    bool
	seq      int
	step     int // actions so far
	mistake  Mistake
	broken   string
}

// New returns a world in which nothing has happened, with a mistake planted in
// it, or none.
func New(m Mistake) *World { return &World{mistake: m} }

// Broken says which promise was broken first, "" for none.
func (w *World) Broken() string { return w.broken }

// Clone returns a copy that shares nothing.
func (w *World) Clone() *World {
	c := *w
	for j := range c.logs {
		c.logs[j] = slices.Clone(w.logs[j])
	}
	c.tasks = slices.Clone(w.tasks)
	return &c
}

// Log returns a job's history, oldest first.
func (w *World) Log(j int) []Record { return w.logs[j] }

// Last returns a job's newest record. That of a job without one is pending.
func (w *World) Last(j int) Record {
	if n := len(w.logs[j]); n > 0 {
		return w.logs[j][n-1]
	}
	return Record{State: job.Pending}
}

// Accepted returns how often the platform took a job.
func (w *World) Accepted(j int) int { return w.fates[j].accepted }

// Tasks returns every task that was ever queued.
func (w *World) Tasks() []Task { return w.tasks }

// Bucket returns where the audience counts a job.
func (w *World) Bucket(j int) job.Bucket {
	return w.Last(j).State.Bucket(w.sources[SourceOf(j)].closing())
}

// Open tells whether a contact has a claim without an outcome, or with a
// source instead of a contact, whether the source has.
func (w *World) Open(of func(j int) int, n int) bool {
	for j := range Jobs {
		if of(j) == n && w.Last(j).State == job.Claimed {
			return true
		}
	}
	return false
}

// Holds tells whether a task of a job would only go back.
func (w *World) Holds(j int) bool { return w.blind || w.sources[SourceOf(j)].state != "" }

func (s source) closing() job.State {
	if s.state == job.Held {
		return ""
	}
	return s.state
}

func (s source) running() bool { return s.state == "" }

// write appends a record where its job is still where the writer saw it, and
// reports whether it is. It is the compare-and-set of the ledger.
func (w *World) write(j int, r Record) bool {
	last := w.Last(j)
	if r.Prev != last.Seq {
		if w.mistake == CountsLostRaces {
			w.sources[SourceOf(j)].count(r)
		}
		return false
	}
	w.checkRecord(j, last, r)
	w.seq++
	r.Seq = w.seq
	w.logs[j] = append(w.logs[j], r)
	w.sources[SourceOf(j)].count(r)
	if r.State == job.Unknown {
		w.fates[j].doubt = true
	}
	return true
}

package model_test

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/consent"
	"github.com/carillon-dev/carillon/internal/contact"
	"github.com/carillon-dev/carillon/internal/deliver"
	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/facts"
	"github.com/carillon-dev/carillon/internal/gate"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/ledger"
	"github.com/carillon-dev/carillon/internal/model"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/scheduler"
	"github.com/carillon-dev/carillon/pkg/policy"
)

// replay is one history as it is played by the real rooms, beside the model of
// it.
type replay struct {
	*stage
	w       *model.World
	eyes    *eyes
	view    *facts.View // which never goes blind
	gate    *gate.Gate
	address [model.Contacts]string
	keys    [model.Contacts]job.Key
	b       [model.Sources]*broadcast.Broadcast
	actors  [model.Workers]*actor
	refs    []job.Ref // of tasks
	asked   [model.Contacts]*asked[consent.Recorded]
	stopped [model.Sources]*asked[scheduler.Stopped]
	held    int // times that the real one was more careful
}

// asked is a request whose answer is yet to come.
type asked[T any] struct {
	answer chan T
	err    error
	may    bool // it may have come by now
	got    bool
	said   T
}

func ask[T any](do func() (T, error)) *asked[T] {
	a := &asked[T]{answer: make(chan T, 1)}
	go func() {
		var v T
		v, a.err = do()
		a.answer <- v
	}()
	return a
}

// wait returns the answer.
func (a *asked[T]) wait() (T, error) {
	if a.got {
		return a.said, a.err
	}
	select {
	case a.said = <-a.answer:
		a.got = true
		return a.said, a.err
	case <-time.After(rig.Patience):
		return a.said, errors.New("no answer")
	}
}

// early reports whether an answer is there that may not be, by the model.
func (a *asked[T]) early(open bool, clean func(T) bool) bool {
	if a == nil {
		return false
	}
	a.may = a.may || !open
	if !a.got {
		select {
		case a.said = <-a.answer:
			a.got = true
		default:
			return false
		}
	}
	return !a.may && a.err == nil && clean(a.said)
}

func newReplay(s *stage) (*replay, error) {
	r := &replay{stage: s, w: model.New(model.None), eyes: &eyes{Redis: engines.Redis}}
	r.view = facts.NewView(engines.Redis.Client, engines.Redis, s.Keys, s.Facts.Identity())
	r.gate = gate.New(engines.Redis.Client, s.Keys, facts.NewView(engines.Redis.Client, r.eyes, s.Keys, s.Facts.Identity()), policy.Default())
	var err error
	for c := range r.keys {
		if r.address[c], r.keys[c], err = s.contact(); err != nil {
			return nil, err
		}
	}
	var keys [model.Sources][]job.Key
	for j := range model.Jobs {
		keys[model.SourceOf(j)] = append(keys[model.SourceOf(j)], r.keys[model.ContactOf(j)])
	}
	for i := range r.b {
		if r.b[i], err = s.broadcast(keys[i]...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *replay) id(j int) job.ID {
	return r.b[model.SourceOf(j)].Source().Job(r.keys[model.ContactOf(j)])
}

// playable tells whether an action can be made to happen to the real rooms.
// What is durable is in force a moment later, and a moment can't be taken from
// a worker, nor nine seconds given to one that has yet to look again.
func playable(w *model.World, a model.Action) bool {
	for c := range model.Contacts {
		if force := (model.Action{Op: model.Force, N: c}); w.Can(force) && a != force {
			return false
		}
	}
	switch a.Op {
	case model.LetGo:
		return false
	case model.Lapse:
		then := w.Clone()
		then.Do(a)
		for k := range model.Workers {
			if o, busy := w.Next(k); busy && o == model.Recheck && then.Lapsed(k) {
				return false
			}
		}
	default:
	}
	return true
}

// real plays a history and winds it to its end. It returns what the real rooms
// did that the model does not do, or what the model finds broken.
func (s *stage) real(h []model.Action) (held int, err error) {
	r, err := newReplay(s)
	if err != nil {
		return 0, err
	}
	defer r.stop()
	for i, a := range h {
		if !r.w.Can(a) || !playable(r.w, a) {
			continue
		}
		if err := r.do(a); err != nil {
			return r.held, fmt.Errorf("at %d, %s: %w", i+1, a, err)
		}
	}
	for range 400 {
		a, more := r.w.Wind()
		if !more {
			return r.held, r.end()
		}
		if err := r.do(a); err != nil {
			return r.held, fmt.Errorf("at the end, %s: %w", a, err)
		}
	}
	return r.held, errors.New("it never ends")
}

// stop lets nobody wait for orders who would get none.
func (r *replay) stop() {
	for _, a := range r.actors {
		if a != nil {
			_ = a.kill()
		}
	}
}

// do plays one action for both and compares what they have come to.
func (r *replay) do(a model.Action) error {
	was := r.w.Clone()
	r.w.Do(a)
	var err error
	switch a.Op {
	case model.Release, model.Lapse, model.Redrive, model.Discard, model.Echo:
		err = r.move(was, a.Op, a.N)
	case model.Take:
		err = r.take(was, a)
	case model.Die:
		err = r.actors[a.N].kill()
		r.actors[a.N] = nil
	case model.Claim, model.Recheck, model.LetGo, model.Accept, model.Refuse, model.Busy, model.Unsent, model.Vanish, model.Answer, model.Lose, model.Settle:
		var p place
		if p, err = r.actors[a.N].tell(a.Op); err == nil {
			err = r.arrived(was, a, p)
		}
	case model.OptOut:
		err = r.optOut(a.N)
	case model.Ack:
		err = answered(r.asked[a.N], func(v consent.Recorded) bool { return v.InForce && len(v.InFlight) == 0 })
	case model.Pause, model.Cancel, model.Stopped, model.Resume, model.Expire:
		err = r.steer(a.Op, a.N)
	case model.Force: // it is
	case model.Blind, model.Sight:
		r.eyes.shut.Store(a.Op == model.Blind)
	}
	return errors.Join(err, r.compare())
}

// take delivers a task to a new worker.
func (r *replay) take(was *model.World, a model.Action) error {
	ref := r.refs[a.Task]
	r.actors[a.N] = r.start(r.gate, r.b[model.SourceOf(r.w.Tasks()[a.Task].Job)].Source(), ref)
	p, err := r.actors[a.N].wait()
	if err != nil {
		return err
	}
	if p.done && r.actors[a.N].gaveBack() { // a busy machine may leave nothing to see, or no moment to send at
		j := r.w.Tasks()[a.Task].Job
		if _, busy := r.w.Next(a.N); busy || r.w.Last(j) != was.Last(j) {
			r.held++
		}
		r.w = was
	}
	return r.arrived(was, a, p)
}

// arrived holds the place that a worker has come to against the model's.
func (r *replay) arrived(was *model.World, a model.Action, p place) error {
	want, busy := r.w.Next(a.N)
	if a.Op == model.Recheck && p.doing == model.Settle && p.rec.State == job.Pending {
		// It may be too late for its moment, which a history can't say.
		then := was.Clone()
		then.Do(model.Action{Op: model.LetGo, N: a.N})
		if want != model.Settle {
			r.held++
		}
		r.w, want = then, model.Settle
	}
	if p.done {
		r.actors[a.N] = nil
	}
	if p.done == busy || busy && p.doing != want {
		return fmt.Errorf("worker %d comes to %s, and should to %s", a.N, at(p.doing, !p.done), at(want, busy))
	}
	return nil
}

func at(o model.Op, busy bool) string {
	if !busy {
		return "an end"
	}
	return o.String()
}

// move lets lanes, operators and the platform move a job.
func (r *replay) move(was *model.World, o model.Op, j int) error {
	id := r.id(j)
	switch o {
	case model.Release:
		return r.lead(id, time.Hour, func(q queue) error { return r.released(j, q) })
	case model.Lapse:
		return r.lapse(was, id)
	case model.Redrive, model.Discard:
		do := r.sched.Redrive
		if o == model.Discard {
			do = r.sched.Discard
		}
		done, err := do(r.ctx, []job.ID{id}, "somebody", false)
		if err == nil && done[0].Refused != "" {
			err = errors.New("refused: " + done[0].Refused)
		}
		return err
	default: // Echo
		mids := r.platform.accepted(id.String())
		_, err := r.receipts.Apply(r.ctx, []event.Event{{
			Type: event.Echo, Channel: "messenger", Sender: id.Sender, Person: r.address[model.ContactOf(j)],
			MessageID: mids[len(mids)-1], Job: id.String(), Time: time.Now().UTC(),
		}})
		return err
	}
}

func (r *replay) released(j int, q queue) error {
	var e job.Envelope
	select {
	case e = <-q:
	case <-time.After(rig.Patience):
		return errors.New("its lane does not release it")
	}
	want := r.w.Tasks()[len(r.refs)]
	last, _, err := r.Ledger.Last(r.ctx, r.id(j))
	if ref := e.Jobs[0]; err == nil && (len(e.Jobs) != 1 || ref.Contact != r.keys[model.ContactOf(j)] || ref.Seq != last.Seq || ref.Attempt != want.Attempt) {
		err = fmt.Errorf("released as %+v; it is at %d, after %d attempts", e.Jobs, last.Seq, want.Attempt)
	}
	r.refs = append(r.refs, e.Jobs...)
	return err
}

// lapse lets a new leader find a claim that has stood for long, and ends the
// calls that have waited as long for their answers.
func (r *replay) lapse(was *model.World, id job.ID) error {
	err := r.lead(id, -deliver.ClaimDeadline, func(queue) error {
		return until("the claim is called unknown", func() (bool, error) {
			last, _, err := r.Ledger.Last(r.ctx, id)
			return last.Record.State != job.Claimed, err
		})
	})
	for k := range r.actors {
		o, _ := was.Next(k)
		if now, _ := r.w.Next(k); err != nil || now != model.Settle || o != model.Accept && o != model.Answer {
			continue
		}
		lose := model.Lose
		if o == model.Accept {
			lose = model.Vanish
		}
		var p place
		if p, err = r.actors[k].tell(lose); err == nil && p.doing != model.Settle {
			err = fmt.Errorf("worker %d comes to %s without an answer", k, at(p.doing, !p.done))
		}
	}
	return err
}

func (r *replay) optOut(c int) error {
	r.asked[c] = ask(func() (consent.Recorded, error) {
		return r.desk.OptOut(r.ctx, r.sender.ID, r.address[c], contact.OptOut{Scope: contact.All, At: time.Now().UTC()})
	})
	return until("the opt-out is in force", func() (bool, error) {
		l, err := r.view.Look(r.ctx, r.sender.ID, "none", []job.Key{r.keys[c]})
		return err == nil && l.Contacts[0].OptedOut(contact.All), nil
	})
}

func (r *replay) steer(o model.Op, n int) error {
	id, state := r.b[n].Spec.ID, facts.Running
	switch o {
	case model.Stopped:
		return answered(r.stopped[n], func(v scheduler.Stopped) bool { return v.InForce && v.Counted && v.InFlight == 0 })
	case model.Pause:
		state = facts.Paused
		r.stopped[n] = ask(func() (scheduler.Stopped, error) { return r.sched.Pause(r.ctx, id) })
	case model.Cancel:
		state = facts.Cancelled
		r.stopped[n] = ask(func() (scheduler.Stopped, error) { return r.sched.Cancel(r.ctx, id) })
	case model.Resume:
		r.stopped[n] = nil
		if _, err := r.sched.Resume(r.ctx, id); err != nil {
			return err
		}
	default: // Expire
		r.stopped[n] = nil
		return r.expire(id)
	}
	return until("the broadcast is "+state, func() (bool, error) {
		l, err := r.view.Look(r.ctx, r.sender.ID, r.b[n].Source().Name, nil)
		return err == nil && l.Source.State == state, nil
	})
}

// expire is what the leader does when a broadcast's end has come.
func (r *replay) expire(id string) error {
	b, rev, err := r.Defs.Broadcast(r.ctx, id)
	if err != nil {
		return err
	}
	b.State = broadcast.Expired
	if rev, err = r.Defs.PutBroadcast(r.ctx, b, rev); err != nil {
		return err
	}
	return r.control(b, facts.Control{State: facts.Ended, EndsAt: b.EndsAt, Rev: rev})
}

// answered waits for an answer. One that names what outlasted its wait, as it
// does on a machine that is too slow for five seconds, promises less.
func answered[T any](a *asked[T], clean func(T) bool) error {
	v, err := a.wait()
	if err != nil || clean(v) {
		return err
	}
	return errSlow
}

// errSlow ends a history that the machine was too slow for.
var errSlow = errors.New("an answer came before its time was over")

// compare holds every job and the platform's books against the model, and asks
// whether an answer came that may not have.
func (r *replay) compare() error {
	if why := r.w.Broken(); why != "" {
		return errors.New(why)
	}
	for j := range model.Jobs {
		want, id := r.w.Last(j), r.id(j)
		got, found, err := r.Ledger.Last(r.ctx, id)
		if err != nil {
			return err
		}
		if !found {
			got.Record.State = job.Pending
		}
		g := got.Record
		if found != (want.Seq != 0) || g.State != want.State || g.Attempt != want.Attempt || g.Discarded != want.Discarded || want.State.Dead() && g.Reason != want.Reason {
			return fmt.Errorf("job %d is %s (%q, attempt %d, discarded %t), want %s (%q, %d, %t)",
				j, g.State, g.Reason, g.Attempt, g.Discarded, want.State, want.Reason, want.Attempt, want.Discarded)
		}
		if n := len(r.platform.accepted(id.String())); n != r.w.Accepted(j) {
			return fmt.Errorf("P2: the platform took job %d %d times, want %d", j, n, r.w.Accepted(j))
		}
	}
	for c, a := range r.asked {
		if a.early(r.w.Open(model.ContactOf, c), func(v consent.Recorded) bool { return v.InForce && len(v.InFlight) == 0 }) {
			return fmt.Errorf("P3: the opt-out of contact %d is answered, and something of it is claimed", c)
		}
	}
	for n, a := range r.stopped {
		if a.early(r.w.Open(model.SourceOf, n), func(v scheduler.Stopped) bool { return v.InForce && v.Counted && v.InFlight == 0 }) {
			return fmt.Errorf("P3: the stop of source %d is answered, and something of it is claimed", n)
		}
	}
	return nil
}

// end compares whole histories, and what the audit says with what the model
// counts.
func (r *replay) end() error {
	if r.w.CheckEnd(); r.w.Broken() != "" {
		return errors.New(r.w.Broken())
	}
	want := [model.Sources]map[job.Bucket]int{{}, {}}
	for j := range model.Jobs {
		want[model.SourceOf(j)][r.w.Bucket(j)]++
		var is, should []job.State
		for _, rec := range r.w.Log(j) {
			should = append(should, rec.State)
		}
		err := r.Ledger.History(r.ctx, r.id(j), func(e ledger.Entry) error { is = append(is, e.Record.State); return nil })
		if err != nil {
			return err
		}
		if !slices.Equal(is, should) {
			return fmt.Errorf("the history of job %d is %v, want %v", j, is, should)
		}
	}
	for n, b := range r.b {
		b, _, err := r.Defs.Broadcast(r.ctx, b.Spec.ID)
		if err != nil {
			return err
		}
		a, err := r.auditor.Run(r.ctx, b, nil)
		if err != nil {
			return err
		}
		if !a.Balanced() {
			return fmt.Errorf("P1: source %d does not balance: %q", n, a.Problems)
		}
		for k, is := range a.Buckets {
			if is != want[n][k] {
				return fmt.Errorf("P1: source %d has %d %s, want %d", n, is, k, want[n][k])
			}
		}
	}
	return nil
}

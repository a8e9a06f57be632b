package flow

import (
	"slices"
	"time"

	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// send plans the message of a step, or one that is sent otherwise, and waits
// for its outcome. One that nobody can be found to send, or to get, is blocked
// at once: there is no lane or no address that a job could be of.
func (x *turn) send(th *Thread, in *instruction, try int) {
	for ; ; try++ {
		to, why := x.to(in.sends[try].Sender)
		if why != "" {
			x.visit(Visit{Step: in.step, Did: in.kind.name(), State: job.Blocked, Reason: why})
			x.outcome(in.step, Outcome{State: job.Blocked, Reason: why, Sender: to.Sender, At: x.w.Now.UTC()})
			if try == len(in.sends)-1 {
				x.leave(th, in.next)
				return
			}
			continue
		}
		if until, quiet := x.quiet(); quiet {
			th.Quiet, th.Try, th.Due, th.Since = true, try, until, x.w.Now.UTC()
			x.visit(Visit{Step: in.step, Did: "quiet", Until: until})
			return
		}
		x.plan(th, in, to, try)
		return
	}
}

// to returns whom a message goes to, by the sender that a step names, else by
// the run's, or why it can't go.
func (x *turn) to(sender string) (Identity, reason.Code) {
	if sender == "" {
		sender = x.r.Sender
	}
	if sender == "" {
		return Identity{}, reason.SenderUnresolved
	}
	i := slices.IndexFunc(x.r.Identities, func(id Identity) bool { return id.Sender == sender })
	if i < 0 {
		return Identity{Sender: sender}, reason.RecipientNotFound
	}
	return x.r.Identities[i], ""
}

func (x *turn) plan(th *Thread, in *instruction, to Identity, try int) {
	id := x.visitOf(th.At, try).String()
	now := x.w.Now.UTC()
	x.owe(Effect{Kind: Plan, ID: id, Identity: to, Month: month(now), Expires: now.Add(in.expires[try])})
	x.visit(Visit{Step: in.step, Did: in.kind.name(), Job: id})
	th.Job, th.Try, th.To, th.Since = id, try, to, now
}

// notify writes to people of one's own, and waits for nobody: each is a
// contact of the sender that the step names, and not the run's.
func (x *turn) notify(th *Thread, in *instruction) {
	now := x.w.Now.UTC()
	for try := range in.sends {
		id := x.visitOf(th.At, try).String()
		to := Identity{in.sends[try].Sender, in.people[try]}
		x.owe(Effect{Kind: Plan, ID: id, Identity: to, Month: month(now), Expires: now.Add(in.expires[try])})
		x.visit(Visit{Step: in.step, Did: in.kind.name(), Job: id})
	}
	if in.text != nil {
		x.tell(th, in)
	}
	x.leave(th, in.next)
}

// settle takes in what came of a message or a call.
func (x *turn) settle(effect string, o Outcome) {
	place, err := ParsePlace(effect)
	if err != nil || place.Version > x.r.Version || !o.State.Ended() {
		return
	}
	o.At = o.At.UTC()
	x.tick(effect, o)
	i := slices.IndexFunc(x.r.Threads, func(th Thread) bool { return th.Job == effect || th.Hook == effect })
	if i < 0 {
		return
	}
	th := &x.r.Threads[i]
	in := &x.p.code[th.At]
	if o.Sender == "" {
		o.Sender = th.To.Sender
	}
	x.outcome(in.step, o)
	at, try := in.next, 0
	if th.Job != "" && (o.State == job.Blocked || o.State == job.Failed) && th.Try+1 < len(in.sends) {
		at, try = th.At, th.Try+1
	}
	x.leave(th, at)
	if x.ends(nil) {
		return
	}
	if try > 0 {
		x.send(th, in, try)
	}
	x.redate()
	x.advance()
}

// tick notes an outcome in the path, where the message still stands there, and
// in the outcomes, where it is the newest message of its step. What is older
// news than what is known changes nothing.
func (x *turn) tick(effect string, o Outcome) {
	x.settled(effect)
	i := slices.IndexFunc(x.r.Path, func(v Visit) bool { return v.Job == effect })
	if i < 0 {
		return
	}
	v := &x.r.Path[i]
	if v.State == o.State && v.Reason == o.Reason || !newer(v, o) {
		return
	}
	v.State, v.Reason, v.Told, x.changed = o.State, o.Reason, o.At, true
	last := !slices.ContainsFunc(x.r.Path[i+1:], func(w Visit) bool { return w.Step == v.Step && w.Job != "" })
	if have, ok := x.r.Outcomes[v.Step]; ok && last {
		o.Sender = have.Sender
		x.outcome(v.Step, o)
	}
}

// newer tells whether an outcome is news: by its time, and of the same moment
// by how far it says that the message came.
func newer(v *Visit, o Outcome) bool {
	if v.State == "" || !v.Told.Equal(o.At) {
		return v.State == "" || o.At.After(v.Told)
	}
	return o.State.Told() > v.State.Told()
}

// settled takes a call off what is owed.
func (x *turn) settled(effect string) {
	n := len(x.r.Owes)
	x.r.Owes = slices.DeleteFunc(x.r.Owes, func(e Effect) bool { return e.Kind == Call && e.ID == effect })
	x.changed = x.changed || len(x.r.Owes) < n
}

func (x *turn) outcome(step string, o Outcome) {
	if x.r.Outcomes == nil {
		x.r.Outcomes = map[string]Outcome{}
	}
	x.r.Outcomes[step], x.changed = o, true
}

// pause waits for a time. One that has come, and a date that is past, are not
// waited for.
func (x *turn) pause(th *Thread, in *instruction) {
	now := x.w.Now.UTC()
	var due time.Time
	switch {
	case in.until != nil:
		from := now
		if th.Woke.Equal(now) { // it waited for this very moment: a loop would take its rounds all at once
			from = now.Add(1)
		}
		due = next(from, *in.until, x.zone())
	case in.date != nil:
		var known bool
		if due, known = in.date.reckon(x.s, x.zone()); !known {
			th.Dated, th.Since = true, now
			x.visit(Visit{Step: in.step, Did: "wait", What: "no date is known"})
			return
		}
		th.Dated = due.After(now)
	default:
		due = now.Add(in.length)
	}
	if !due.After(now) {
		x.visit(Visit{Step: in.step, Did: "wait", What: "the time has come"})
		x.leave(th, in.next)
		th.Woke = due
		return
	}
	th.Due, th.Since = due, now
	x.visit(Visit{Step: in.step, Did: "wait", Until: due})
}

package model

import (
	"fmt"
	"strconv"
	"strings"
)

// Op is one kind of action.
type Op uint8

// The actions, each with what it names.
const (
	Release Op = iota // JOB: its lane hands it to the queue
	Take              // WORKER TASK: the queue delivers a task, for the first time or again
	Claim             // WORKER
	Recheck           // WORKER
	LetGo             // WORKER: its moment was over before it could send
	Accept            // WORKER: the platform takes the message
	Refuse            // WORKER: the platform refuses it for good
	Busy              // WORKER: the platform refuses it for now
	Unsent            // WORKER: nothing left
	Vanish            // WORKER: the request left and was never seen again
	Answer            // WORKER: it gets the platform's answer
	Lose              // WORKER: it does not
	Settle            // WORKER: it records the outcome
	Die               // WORKER: killed, and started anew
	Lapse             // JOB: its claim stood for too long, whoever has it
	OptOut            // CONTACT: the opt-out is durable
	Force             // CONTACT: it is in force
	Ack               // CONTACT: it is answered
	Pause             // SOURCE
	Cancel            // SOURCE
	Stopped           // SOURCE: the pause or cancellation is answered
	Resume            // SOURCE
	Expire            // SOURCE: its end has come
	Redrive           // JOB
	Discard           // JOB
	Echo              // JOB: the platform tells that it has it
	Blind             // Redis was lost
	Sight             // it is rebuilt
)

// ops is how many there are.
const ops = int(Sight) + 1

// String is the op's word in a script.
func (o Op) String() string {
	switch o {
	case Release:
		return "release"
	case Take:
		return "take"
	case Claim:
		return "claim"
	case Recheck:
		return "recheck"
	case LetGo:
		return "letgo"
	case Accept:
		return "accept"
	case Refuse:
		return "refuse"
	case Busy:
		return "busy"
	case Unsent:
		return "unsent"
	case Vanish:
		return "vanish"
	case Answer:
		return "answer"
	case Lose:
		return "lose"
	case Settle:
		return "settle"
	case Die:
		return "die"
	case Lapse:
		return "lapse"
	case OptOut:
		return "optout"
	case Force:
		return "force"
	case Ack:
		return "ack"
	case Pause:
		return "pause"
	case Cancel:
		return "cancel"
	case Stopped:
		return "stopped"
	case Resume:
		return "resume"
	case Expire:
		return "expire"
	case Redrive:
		return "redrive"
	case Discard:
		return "discard"
	case Echo:
		return "echo"
	case Blind:
		return "blind"
	case Sight:
		return "sight"
	}
	return "op " + strconv.Itoa(int(o))
}

// opOf returns the op of a word in a script.
func opOf(word string) (Op, bool) {
	for o := range Op(ops) {
		if o.String() == word {
			return o, true
		}
	}
	return 0, false
}

// args is how many numbers follow an action.
func (o Op) args() int {
	switch o {
	case Blind, Sight:
		return 0
	case Take:
		return 2
	default:
		return 1
	}
}

// Action is one step of a history.
type Action struct {
	Op   Op
	N    int // worker, job, contact or source, from 0
	Task int // of Take: which of all that were ever queued, from 0
}

// String is the action's line in a script.
func (a Action) String() string {
	switch a.Op.args() {
	case 0:
		return a.Op.String()
	case 1:
		return a.Op.String() + " " + strconv.Itoa(a.N)
	default:
		return a.Op.String() + " " + strconv.Itoa(a.N) + " " + strconv.Itoa(a.Task)
	}
}

// Script is a history as text, one action per line.
func Script(h []Action) string {
	var b strings.Builder
	for _, a := range h {
		b.WriteString(a.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Parse reads a script. Empty lines and what follows a # are passed over. An
// action that is not possible where it stands is none of its business: such a
// one changes nothing when it is played.
func Parse(text string) ([]Action, error) {
	var out []Action
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		op, ok := opOf(words[0])
		a := Action{Op: op}
		if !ok || len(words)-1 != op.args() {
			return nil, fmt.Errorf("line %d: %q: want an action and its numbers, as in %q", i+1, strings.TrimSpace(line), Action{Op: Take, N: 1, Task: 3})
		}
		for n, to := range []*int{&a.N, &a.Task}[:len(words)-1] {
			v, err := strconv.Atoi(words[n+1])
			if err != nil || v < 0 || v > 99 {
				return nil, fmt.Errorf("line %d: %q: want a number from 0 to 99", i+1, words[n+1])
			}
			*to = v
		}
		out = append(out, a)
	}
	return out, nil
}

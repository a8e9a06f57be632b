package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// maxRate bounds the deeds per second, and maxPlay how long a crowd is
	// played.
	maxRate = 2000
	maxPlay = 24 * time.Hour
)

// Play is an order to play people: everybody that the books hold, acting at
// random. The same seed gives the same deeds in the same order.
type Play struct {
	Accounts []string       `json:"accounts"` // absent: every account
	Rate     float64        `json:"rate"`     // deeds a second, over all accounts, up to 2,000
	Seconds  float64        `json:"seconds"`  // up to a day
	Seed     uint64         `json:"seed"`     // 0: the sandbox's
	Mix      map[string]int `json:"mix"`      // how often each act comes, beside the others; absent: UsualMix
}

// UsualMix is what people do, in hundredths or so. Acts are kinds of
// happening, and some with a meaning: stop and maybe_stop are words, return is
// start or resume_notifications by one who asked for the opposite.
func UsualMix() map[string]int {
	return map[string]int{"message": 40, "ad_message": 2, "postback": 8, "referral": 3, "optin": 2, "reaction": 12, "unreaction": 2, "edit": 2, "delete": 2,
		"comment": 8, "one_time": 4, "stop": 5, "maybe_stop": 2, "stop_notifications": 3, "return": 4, "block": 2, "thread_taken": 1, "thread_back": 2}
}

func (p *Play) validate() error {
	switch {
	case !(p.Rate > 0 && p.Rate <= maxRate):
		return fmt.Errorf("rate %v: must be above 0 and at most %d", p.Rate, maxRate)
	case !(p.Seconds > 0 && p.Seconds <= maxPlay.Seconds()):
		return fmt.Errorf("seconds %v: must be above 0 and at most %v", p.Seconds, maxPlay.Seconds())
	}
	sum := 0
	for act, n := range p.Mix {
		if _, ok := UsualMix()[act]; !ok {
			return fmt.Errorf("mix: %q is no act: use some of %s", act, strings.Join(slices.Sorted(maps.Keys(UsualMix())), ", "))
		}
		if n < 0 || n > 1_000_000 {
			return fmt.Errorf("mix: %s %d: must be from 0 to 1000000", act, n)
		}
		sum += n
	}
	if p.Mix != nil && sum == 0 {
		return errors.New("mix: give at least one act")
	}
	return nil
}

// Played is what a crowd did.
type Played struct {
	Seed  uint64         `json:"seed"`
	Deeds map[string]int `json:"deeds"` // by kind of happening
}

// Play plays people until the time is over or ctx ends, and says what they
// did. The list of happenings has each deed.
func (s *Sandbox) Play(ctx context.Context, p Play) (Played, error) {
	if err := p.validate(); err != nil {
		return Played{}, err
	}
	if p.Seed == 0 {
		p.Seed = s.opts.Seed
	}
	c := newCrowd(s, p)
	if len(c.people) == 0 {
		return Played{}, errors.New("nobody is known to these accounts: load people first")
	}
	start, every := time.Now(), time.Duration(float64(time.Second)/p.Rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := Played{Seed: p.Seed, Deeds: map[string]int{}}
	for n := 0; ; n++ {
		due := time.Duration(n) * every
		if due >= time.Duration(p.Seconds*float64(time.Second)) {
			return done, nil
		}
		timer.Reset(time.Until(start.Add(due)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return done, nil
		}
		h := c.next()
		if _, err := s.Happen(h); err != nil {
			return done, fmt.Errorf("play: %w", err)
		}
		done.Deeds[h.Kind]++
	}
}

// who is a person of an account.
type who struct{ account, person string }

// crowd decides what people do next.
type crowd struct {
	dice   *rand.Rand
	people []who
	acts   []string // in order, lest the order of a map decides
	until  []int    // of the dice, for each act
	n      int      // deeds so far: names messages, so that they can be taken back
	seed   uint64

	stopped   []Happening    // who asked to hear no more, and how
	elsewhere []who          // whose thread another app has
	wrote     map[who]string // newest message of each
}

func newCrowd(s *Sandbox, p Play) *crowd {
	mix := p.Mix
	if mix == nil {
		mix = UsualMix()
	}
	c := &crowd{dice: rand.New(rand.NewPCG(p.Seed, 0xc403d)), seed: p.Seed, people: s.everybody(p.Accounts), wrote: map[who]string{}}
	sum := 0
	for _, act := range slices.Sorted(maps.Keys(mix)) {
		sum += mix[act]
		c.acts, c.until = append(c.acts, act), append(c.until, sum)
	}
	return c
}

// everybody lists the people of some accounts, or of all, without the
// permissions that are kept beside them.
func (s *Sandbox) everybody(accounts []string) []who {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.books
	var out []who
	for place := range b.people.n {
		p := b.people.at(place)
		account := b.accounts[p.account].id
		id := string(b.strings.get(p.id))
		if _, permission := b.owners[place]; !permission && !strings.Contains(id, ":") && (len(accounts) == 0 || slices.Contains(accounts, account)) {
			out = append(out, who{account, id})
		}
	}
	return out
}

// next is the next deed of anybody.
func (c *crowd) next() Happening {
	c.n++
	who := c.people[c.dice.IntN(len(c.people))]
	roll := c.dice.IntN(c.until[len(c.until)-1])
	act := c.acts[slices.IndexFunc(c.until, func(until int) bool { return roll < until })]
	h := Happening{Account: who.account, Person: who.person, Kind: act, ID: "m_" + scatter(mix(c.seed+5)+uint64(c.n)), Text: pick(c.dice, texts()), Payload: "PLAYED"}
	switch act {
	case "message", "ad_message":
		h.Payload = ""
		c.wrote[who] = h.ID
	case "edit", "delete":
		if mid, ok := c.wrote[who]; ok {
			h.ID = mid
		} else {
			h.Kind = "message"
			c.wrote[who] = h.ID
		}
	case "comment":
		h.ID = fmt.Sprintf("%s_%d_%d", who.account, c.seed%1_000_000, c.n)
	case "one_time", "stop_notifications":
		h.ID = "T" + h.ID[2:]
	}
	return c.turn(h)
}

// turn gives an act its meaning where it stands for another kind, and
// remembers who may come back.
func (c *crowd) turn(h Happening) Happening {
	who := who{h.Account, h.Person}
	switch h.Kind {
	case "stop":
		h.Kind, h.Payload, h.Text = "message", "", pick(c.dice, []string{"STOP", "stop", "Unsubscribe", " Cancel ", "quit", "END"})
		c.stopped = append(c.stopped, h)
	case "maybe_stop":
		h.Kind, h.Payload, h.Text = "message", "", pick(c.dice, []string{"please stop", "Stop messaging me", "unsubscribe me please"})
	case "stop_notifications":
		c.stopped = append(c.stopped, h)
	case "return":
		return c.comeBack(h)
	case "thread_taken":
		c.elsewhere = append(c.elsewhere, who)
	case "thread_back":
		if n := len(c.elsewhere); n > 0 {
			i := c.dice.IntN(n)
			h.Account, h.Person = c.elsewhere[i].account, c.elsewhere[i].person
			c.elsewhere = slices.Delete(c.elsewhere, i, i+1)
		}
	}
	return h
}

// comeBack is somebody who asked to hear no more and asks to hear again. Where
// nobody has, it is a message.
func (c *crowd) comeBack(h Happening) Happening {
	h.Kind, h.Payload = "message", ""
	n := len(c.stopped)
	if n == 0 {
		return h
	}
	i := c.dice.IntN(n)
	s := c.stopped[i]
	c.stopped = slices.Delete(c.stopped, i, i+1)
	h.Account, h.Person, h.Text = s.Account, s.Person, "START"
	if s.Kind == "stop_notifications" {
		h.Kind, h.Text, h.ID = "resume_notifications", "", s.ID
	}
	return h
}

func pick(dice *rand.Rand, from []string) string { return from[dice.IntN(len(from))] }

func texts() []string {
	return []string{"Hello!", "Is the shop open today?", "café crème 🎉", "thanks", "What does it cost?", "こんにちは", "I stopped by yesterday", "ok"}
}

func (s *Sandbox) servePlay(w http.ResponseWriter, r *http.Request) {
	var p Play
	err := decode(w, r, &p)
	var done Played
	if err == nil {
		liftDeadlines(w)
		done, err = s.Play(r.Context(), p)
	}
	if err != nil {
		badRequest(w, err)
		return
	}
	respond(w, http.StatusOK, done)
}

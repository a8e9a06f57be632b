package policy

import (
	"math"
	"strings"

	"github.com/carillon-dev/carillon/pkg/reason"
)

// index is the rulebook made ready for Evaluate: strings that name a fixed
// set become numbers, lists that are looked up become maps.
type index struct {
	checks   []check
	kinds    map[string]*kind
	standard *kind
	ibans    *ibanLengths // of the check for account numbers, nil for none
	openers  []string     // actions that can open a window; empty: any
	windows  []*permission
	plusOne  []*permission
	consent  []*permission
	byTag    map[string][]*permission
	byKind   map[string][]*permission // asked for by the template, whatever its tag
	byFeed   map[string][]*permission // asked for by the template where there is no tag
	byVia    map[string][]*permission
	hours    []hours
	advice   []advice
	warnings [][]string // by set of advice names, one bit each
	all      []*permission
	keywords keywords
	survey   survey

	capabilities []string // that a rule asks for
}

// made is the index that Parse made, an empty one where it did not.
func (rb *Rulebook) made() *index {
	if rb == nil || rb.index == nil {
		return &index{}
	}
	return rb.index
}

// channels is a set of channels, one bit each.
type channels uint8

const (
	onMessenger channels = 1 << iota
	onInstagram
	onSMS
	onAll = onMessenger | onInstagram | onSMS
)

// channelSet is the bit of c; 0 for a channel that no rule knows.
func channelSet(c Channel) channels {
	switch c {
	case Messenger:
		return onMessenger
	case Instagram:
		return onInstagram
	case SMS:
		return onSMS
	default:
		return 0
	}
}

// setOf is the set of cs; an empty list means every channel.
func setOf(cs []Channel) channels {
	if len(cs) == 0 {
		return onAll
	}
	var set channels
	for _, c := range cs {
		set |= channelSet(c)
	}
	return set
}

// term is when and where a clause holds. Days begin on whole seconds, so
// comparing the seconds of an instant is exact to the nanosecond.
type term struct {
	from, to int64 // Unix seconds; to is excluded
	channels channels
}

func (c *Clause) term() term {
	t := term{from: math.MinInt64, to: math.MaxInt64, channels: setOf(c.Channels)}
	if !c.From.IsZero() {
		t.from = c.From.Unix()
	}
	if !c.To.IsZero() {
		t.to = c.To.Unix()
	}
	return t
}

func (t term) inForce(sec int64) bool { return t.from <= sec && sec < t.to }

// on says whether the clause holds on ch. One for every channel also holds on
// a channel that no rule knows, so that such a sender is refused.
func (t term) on(ch channels) bool { return t.channels == onAll || t.channels&ch != 0 }

func (t term) covers(j *judge) bool  { return t.inForce(j.sec) && t.on(j.channel) }
func (t term) notYet(sec int64) bool { return sec < t.from }

type check struct {
	term
	test test // beside the term, where the loop over all checks finds it
	*Check
	code     reason.Code
	hold     bool   // the reason's own ending
	note     string // evidence where no number tells it
	shortest int    // of Lengths: no text up to it is too long
	iban     *ibanLengths
	request  *request // of the check for payment data
	objects  lists    // of the request
}

type kind struct {
	channels channels
	needsTag bool
}

type hours struct {
	term
	*Hours
	quiet QuietHours
}

type advice struct {
	term
	*Advice
	bit      int
	wordings wordings
	links    links
	phrases  lists // of the wordings
	prefixes lists // of the links
}

// compile builds the index of a rulebook that validate has accepted.
func (rb *Rulebook) compile() *index {
	ix := &index{
		kinds: map[string]*kind{}, byTag: map[string][]*permission{}, byKind: map[string][]*permission{},
		byFeed: map[string][]*permission{}, byVia: map[string][]*permission{},
	}
	for i := range rb.Checks {
		ix.checks = append(ix.checks, newCheck(&rb.Checks[i]))
		ix.checks[i].objects = ix.survey.add(rb.Checks[i].Objects)
		if iban := ix.checks[i].iban; iban != nil {
			ix.ibans = iban
		}
	}
	for _, k := range rb.TemplateKinds {
		ix.kinds[k.Kind] = &kind{channels: setOf(k.Channels), needsTag: k.NeedsTag}
	}
	ix.standard = ix.kinds["standard"]
	for _, a := range rb.Openers {
		ix.openers = append(ix.openers, a.ID)
	}
	for i := range rb.Permissions {
		ix.add(rb.newPermission(&rb.Permissions[i]))
	}
	for i := range rb.Hours {
		h := &rb.Hours[i]
		q, _ := ParseQuietHours(h.Quiet.From, h.Quiet.To)
		ix.hours = append(ix.hours, hours{term: h.term(), Hours: h, quiet: q})
	}
	ix.addAdvice(rb)
	ix.addCapabilities(rb)
	ix.keywords = newKeywords(&rb.Keywords)
	return ix
}

func newCheck(c *Check) check {
	shortest := 0
	for _, l := range c.Lengths {
		if shortest == 0 || l.Max < shortest {
			shortest = l.Max
		}
	}
	code := reason.Code(c.ID)
	entry, _ := reason.Lookup(code) // validate accepts only codes that there are
	return check{
		term: c.term(), Check: c, test: testOf(code), code: code, hold: entry.Ending == reason.Held, note: noteOf(testOf(code)), shortest: shortest,
		iban: newIBANLengths(c.IBAN), request: newRequest(c),
	}
}

func (ix *index) add(p *permission) {
	ix.all = append(ix.all, p)
	switch p.By {
	case "window":
		ix.windows = append(ix.windows, p)
	case "plus_one":
		ix.plusOne = append(ix.plusOne, p)
	case "consent":
		ix.consent = append(ix.consent, p)
	case "template":
		ix.byKind[p.Kind] = append(ix.byKind[p.Kind], p)
	case "via":
		ix.byVia[p.Via] = append(ix.byVia[p.Via], p)
	case "tag":
		for _, tag := range p.Tags {
			ix.byTag[tag] = append(ix.byTag[tag], p)
		}
		if p.Kind != "" {
			ix.byFeed[p.Kind] = append(ix.byFeed[p.Kind], p)
		}
	}
}

func (ix *index) addCapabilities(rb *Rulebook) {
	add := func(name string) {
		if name != "" && !contains(ix.capabilities, name) {
			ix.capabilities = append(ix.capabilities, name)
		}
	}
	for i := range rb.Permissions {
		add(rb.Permissions[i].Capability)
	}
	for i := range rb.Checks {
		add(rb.Checks[i].Capability)
	}
}

// addAdvice also lays out every combination of warnings beforehand, so that
// a verdict with warnings allocates nothing.
func (ix *index) addAdvice(rb *Rulebook) {
	var names []string
	bits := map[string]int{}
	for i := range rb.Advice {
		a := &rb.Advice[i]
		bit, ok := bits[a.ID]
		if !ok {
			bit, bits[a.ID] = len(names), len(names)
			names = append(names, a.ID)
		}
		ix.advice = append(ix.advice, advice{
			term: a.term(), Advice: a, bit: bit, wordings: newWordings(a), links: newLinks(a.Links),
			phrases: ix.survey.add(a.Phrases), prefixes: ix.survey.add(a.Links.Prefixes),
		})
	}
	for _, p := range ix.all {
		for i := range ix.advice {
			if a := &ix.advice[i]; a.about(p.Permission) {
				p.advice = append(p.advice, a)
			}
		}
	}
	ix.warnings = make([][]string, 1<<len(names))
	for set := range ix.warnings {
		for bit, name := range names {
			if set&(1<<bit) != 0 {
				ix.warnings[set] = append(ix.warnings[set], name)
			}
		}
	}
}

// about says whether the advice may be given under permission p.
func (a *Advice) about(p *Permission) bool {
	any := len(a.Under) == 0 && len(a.UnderBy) == 0
	return (any || contains(a.Under, p.ID) || contains(a.UnderBy, p.By)) && !contains(a.NotUnder, p.ID)
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func lower(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(s)
	}
	return out
}

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Parameter is one setting of a rule, by its name in the rulebook.
type Parameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// settings collects those parameters that are set.
type settings []Parameter

func (s *settings) word(name, value string) {
	if value != "" {
		*s = append(*s, Parameter{name, value})
	}
}

func (s *settings) list(name string, values []string) { s.word(name, strings.Join(values, ", ")) }

func (s *settings) flag(name string, set bool) {
	if set {
		s.word(name, "yes")
	}
}

func (s *settings) length(name string, d Duration) {
	if d > 0 {
		s.word(name, d.String())
	}
}

func (s *settings) count(name string, n float64) {
	if n > 0 {
		s.word(name, strconv.FormatFloat(n, 'f', -1, 64))
	}
}

func (s *settings) span(name string, r Range) {
	if r != (Range{}) {
		s.word(name, fmt.Sprintf("%d to %d", r.Min, r.Max))
	}
}

func (c *Check) settings() []Parameter {
	var s settings
	s.word("capability", c.Capability)
	s.list("except", c.Except)
	s.list("kinds", c.Kinds)
	s.list("flow_types", c.FlowTypes)
	s.length("limit", c.Limit)
	s.span("digits", c.Digits)
	var ibans []string
	for _, country := range slices.Sorted(maps.Keys(c.IBAN)) {
		ibans = append(ibans, fmt.Sprintf("%s %d", country, c.IBAN[country]))
	}
	s.list("iban", ibans)
	for _, ch := range []Channel{Messenger, Instagram, SMS} {
		if l, ok := c.Lengths[ch]; ok {
			s.word("lengths."+string(ch), fmt.Sprintf("%d %s", l.Max, strings.ReplaceAll(l.Unit, "_", " ")))
		}
	}
	s.list("phrases", c.Phrases)
	s.list("objects", c.Objects)
	s.list("unless", c.Unless)
	s.list("between", c.Between)
	s.list("until", c.Until)
	s.list("harmless", c.Harmless)
	s.count("within", float64(c.Within))
	return s
}

func (p *Permission) parameters() []Parameter {
	var s settings
	if p.By == "tag" { // by template, it is the name that asks
		s.word("kind", p.Kind)
	}
	s.word("since", p.Since)
	s.length("limit", p.Limit)
	s.length("max", p.Max)
	s.list("opened_by", p.OpenedBy)
	s.list("authors", p.Authors)
	s.word("capability", p.Capability)
	s.word("template", p.Template)
	s.list("use_cases", p.UseCases)
	s.word("cooldown", dated(p.Cooldown))
	s.list("excluded_countries", p.Excluded)
	s.flag("marketing", p.Marketing)
	s.flag("not_sendable", p.NotSendable)
	return s
}

// dated is every limit with its first day.
func dated(limits []DatedLimit) string {
	var out []string
	for _, l := range limits {
		text := l.Limit.String()
		if !l.From.IsZero() {
			text += " from " + l.From.String()
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func (h *Hours) parameters() []Parameter {
	var s settings
	if h.Quiet != (Clock{}) {
		s.word("quiet", h.Quiet.From+" to "+h.Quiet.To)
	}
	s.flag("promotional_only", h.PromotionalOnly)
	s.flag("senders_own", h.SendersOwn)
	s.flag("answers_excepted", h.AnswersExcepted)
	return s
}

func (a *Advice) parameters() []Parameter {
	var s settings
	s.list("under", a.Under)
	s.list("under_by", a.UnderBy)
	s.list("not_under", a.NotUnder)
	s.list("tags", a.Tags)
	s.list("authors", a.Authors)
	s.list("phrases", a.Phrases)
	s.list("harmless", a.Harmless)
	s.list("links.prefixes", a.Links.Prefixes)
	s.list("links.domains", a.Links.Domains)
	s.flag("acknowledge", a.Acknowledge)
	return s
}

func (c *TenDLCClass) parameters() []Parameter {
	var s settings
	s.word("counted", c.Counted)
	s.span("score", c.Score)
	s.count("per_second", c.PerSecond)
	s.count("per_minute", float64(c.PerMinute))
	s.count("per_day", float64(c.PerDay))
	return s
}

package policy

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

// Date is a day that begins at 00:00 UTC. The zero value is no day.
type Date struct{ time.Time }

// UnmarshalYAML reads 2006-01-02.
func (d *Date) UnmarshalYAML(n *yaml.Node) error {
	t, err := ParseDate(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	*d = t
	return nil
}

// ParseDate reads 2006-01-02 of the years 1 to 9999.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.IsZero() {
		return Date{}, fmt.Errorf("%q is not a date: write it as 2026-04-27", s)
	}
	return Date{t}, nil
}

// String is 2006-01-02, or "" for no day.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Format(time.DateOnly)
}

// MarshalJSON writes what ParseDate reads, and "" for no day.
func (d Date) MarshalJSON() ([]byte, error) { return []byte(`"` + d.String() + `"`), nil }

// Duration is a time.Duration that also reads days, as in 365d of 24 h each.
type Duration time.Duration

// UnmarshalYAML reads 36h, 90m or 7d. It must be above 0 and at most 100 years.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	var days int
	var rest string
	v, err := time.ParseDuration(n.Value)
	if k, _ := fmt.Sscanf(n.Value, "%d%s", &days, &rest); err != nil && k == 2 && rest == "d" && days <= 36500 {
		v, err = time.Duration(days)*24*time.Hour, nil
	}
	if err != nil || v <= 0 || v > 36500*24*time.Hour {
		return fmt.Errorf("line %d: %q is not a length of time: write it as 24h or 365d", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// String is FormatDuration.
func (d Duration) String() string { return FormatDuration(time.Duration(d)) }

// MarshalText writes what UnmarshalYAML reads, in hours where they are whole.
func (d Duration) MarshalText() ([]byte, error) {
	if h := time.Duration(d) / time.Hour; time.Duration(d) == h*time.Hour {
		return fmt.Appendf(nil, "%dh", h), nil
	}
	return []byte(time.Duration(d).String()), nil
}

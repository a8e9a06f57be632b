package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func date(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := ParseDate(s)
	must(t, err)
	return d.Time
}

func TestListStates(t *testing.T) {
	tests := []struct{ at, rule, tag, want string }{
		{"2026-04-26", "event_tag", "ACCOUNT_UPDATE", "in_force"},
		{"2026-04-27", "event_tag", "ACCOUNT_UPDATE", "ended"},
		{"2019-08-28", "event_tag", "ACCOUNT_UPDATE", "not_yet"},
		{"2019-08-28", "legacy_tag", "ACCOUNT_UPDATE", "in_force"},
		{"2019-08-29", "legacy_tag", "ACCOUNT_UPDATE", "ended"},
		{"2026-09-27", "ad_window", "", "not_yet"},
		{"2026-09-28", "ad_window", "", "in_force"},
		{"2026-11-22", "news", "NON_PROMOTIONAL_SUBSCRIPTION", "in_force"},
	}
	for _, tt := range tests {
		var got []string
		for _, l := range List(book(), date(t, tt.at)) {
			if l.Rule == tt.rule && (tt.tag == "" || slices.Contains(l.Names, tt.tag)) {
				got = append(got, l.State)
			}
		}
		if !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s %s %s: %v, want %s", tt.at, tt.rule, tt.tag, got, tt.want)
		}
	}
}

func TestListLimitOfTheDay(t *testing.T) {
	for day, want := range map[string]time.Duration{"2025-08-31": 24 * time.Hour, "2025-09-01": 48 * time.Hour} {
		for _, l := range List(book(), date(t, day)) {
			if l.Rule == "marketing_message" && time.Duration(l.Limit) != want {
				t.Errorf("%s: limit %s", day, l.Limit)
			}
		}
	}
}

func TestDiff(t *testing.T) {
	tests := []struct{ from, to, want string }{
		{"2026-04-26", "2026-04-27", "2026-04-27 event_tag ends"},
		{"2026-04-27", "2026-05-01", ""},
		{"2026-09-27", "2026-09-28", "2026-09-28 ad_window begins"},
		{"2025-08-31", "2025-09-01", "2025-09-01 recurring_notification closes; 2025-09-01 recurring_notification limit; 2025-09-01 marketing_message limit"},
		{"2020-03-03", "2020-03-04", "2020-03-04 news begins; 2020-03-04 subscription ends; 2020-03-04 legacy_tag ends; 2020-03-04 legacy_tag ends; 2020-03-04 plus_one ends"},
		{"2026-09-28", "2026-04-26", ""},
		{"2025-06-30", "2025-09-29", "2025-07-01 marketing_message begins; 2025-09-01 recurring_notification closes; 2025-09-01 recurring_notification limit; 2025-09-01 marketing_message limit; " +
			"2025-09-24 conversation_routing begins; 2025-09-29 utility begins"},
	}
	for _, tt := range tests {
		var got []string
		for _, c := range Diff(book(), date(t, tt.from), date(t, tt.to)) {
			got = append(got, fmt.Sprintf("%s %s %s", c.Date, c.Rule, c.What))
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("%s to %s:\ngot  %s\nwant %s", tt.from, tt.to, s, tt.want)
		}
	}
}

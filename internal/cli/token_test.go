package cli

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/pkg/client"
)

func someTokens() []client.Token {
	return []client.Token{
		{ID: "0a1b2c3d4e5f", Name: "till in the shop", Role: client.RoleOperator, Senders: []string{"bakery", "cafe"}, Created: day(9, 0, 0), CreatedBy: "root", Expires: day(12, 0, 1)},
		{ID: "1a1b2c3d4e5f", Name: "a report that runs at night and has a name of some length", Role: client.RoleViewer, Created: day(9, 0, 0), CreatedBy: "root"},
		{ID: "2a1b2c3d4e5f", Name: "Ada", Role: client.RoleAdmin, Created: day(9, 0, 0), CreatedBy: "root", Expires: day(10, 0, 0), Revoked: day(11, 0, 0), RevokedBy: "root"},
		{ID: "3a1b2c3d4e5f", Name: "Bob", Role: client.RoleAdmin, Created: day(9, 0, 0), CreatedBy: "root", Expires: day(12, 0, 0)},
	}
}

func (f *fake) createToken(w http.ResponseWriter, r *http.Request) {
	var q client.TokenRequest
	json.NewDecoder(r.Body).Decode(&q)
	if q.Role == client.RoleAdmin {
		refuse(w, 422, "role admin is more than this token's own, operator")
		return
	}
	k := client.Token{ID: "0a1b2c3d4e5f", Name: q.Name, Role: q.Role, Senders: q.Senders, Created: day(9, 0, 0), CreatedBy: "root", Expires: q.Expires}
	answer(w, 201, client.CreatedToken{Token: k, Text: "carillon_0a1b2c3d4e5f_5ec2e7"})
}

func (f *fake) revokeToken(w http.ResponseWriter, r *http.Request) {
	k := someTokens()[1]
	if r.PathValue("id") == "none" {
		refuse(w, 404, "token none: not found")
		return
	}
	k.ID, k.Revoked = r.PathValue("id"), day(12, 0, 0)
	answer(w, 200, client.RevokedToken{Token: k, Self: k.ID == "mine"})
}

func TestParseFuture(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 500, time.UTC)
	for s, want := range map[string]string{
		"": "", "90d": "2027-02-20T10:00:00Z", "1s": "2026-11-22T10:00:01Z", "12h": "2026-11-22T22:00:00Z", "2026-11-23": "2026-11-23T00:00:00Z",
		"2026-11-22T10:00:01Z": "2026-11-22T10:00:01Z",
	} {
		got, err := parseFuture("expires", s, now)
		if err != nil || s != "" && got.Format(time.RFC3339) != want || s == "" && !got.IsZero() {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"soon": `--expires "soon": want 2026-11-22, 2026-11-22T10:00:00Z, or how long, such as 12h or 90d`,
		"-1h":  `--expires "-1h": want 2026-11-22, 2026-11-22T10:00:00Z, or how long, such as 12h or 90d`,
		"0d":   `--expires "0d": want a time that has not passed`, "2026-11-22": `--expires "2026-11-22": want a time that has not passed`,
	} {
		if _, err := parseFuture("expires", s, now); err == nil || err.Error() != want {
			t.Errorf("%q: %v", s, err)
		}
	}
}

package channel

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	const value = "EAAG-very-secret"
	account := Account{ID: "1", Token: value, AppSecret: value}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&out, verb+"\n", account)
		fmt.Fprintf(&out, verb+"\n", &account)
		fmt.Fprintf(&out, verb+"\n", account.Token)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "account", account, "token", account.Token)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "account", account, "token", account.Token)
	if strings.Contains(out.String(), "very-secret") {
		t.Errorf("a secret was printed:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "[redacted]") {
		t.Errorf("no redaction mark in:\n%s", out.String())
	}
}

func TestNamesAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for o := Unknown; o <= NotSent+1; o++ {
		seen[o.String()] = true
	}
	for a := DeadLetter; a <= CooldownOfOne+1; a++ {
		seen[a.String()] = true
	}
	if want := 4 + 1 + 7 + 1; len(seen) != want {
		t.Errorf("%d distinct names, want %d: %v", len(seen), want, seen)
	}
	for _, name := range []string{"outcome(4)", "action(7)"} {
		if !seen[name] {
			t.Errorf("a value outside the list is not named %s", name)
		}
	}
}

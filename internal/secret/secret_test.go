package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNeverPrints(t *testing.T) {
	t.Parallel()
	const value = "EAAG-very-secret"
	type holder struct {
		Name  string
		Token Text
	}
	h := holder{"bakery", value}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", &h)
		fmt.Fprintf(&out, verb+"\n", h.Token)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "holder", h, "token", h.Token)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "holder", h, "token", h.Token)
	if err := json.NewEncoder(&out).Encode(h); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "very-secret") {
		t.Errorf("a secret was printed:\n%s", out.String())
	}
	if n := strings.Count(out.String(), Mark); n < 26 {
		t.Errorf("%d marks, want one for each of 26:\n%s", n, out.String())
	}
	if string(h.Token) != value {
		t.Error("who needs the value does not get it")
	}
}

package app

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/carillon-dev/carillon/internal/config"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/policy"
)

func written(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestOpenRulebook(t *testing.T) {
	builtIn, err := OpenRulebook("")
	if err != nil || builtIn.Name != BuiltIn || len(builtIn.Digest) != 12 || !bytes.Equal(builtIn.Text, policy.Embedded()) {
		t.Fatalf("%s, %v", builtIn, err)
	}
	file := written(t, string(policy.Embedded()))
	same, err := OpenRulebook(file)
	if err != nil || same.Name != file || same.Digest != builtIn.Digest {
		t.Errorf("a copy: %s, %v", same, err)
	}
	other, err := OpenRulebook(written(t, string(policy.Embedded())+"# mine\n"))
	if err != nil || other.Digest == builtIn.Digest {
		t.Errorf("another text: %s, %v", other, err)
	}
}

// TestOpenRulebookRefuses names the file, the line where one is at fault, and
// the fault, in one line.
func TestOpenRulebookRefuses(t *testing.T) {
	text := string(policy.Embedded())
	for name, c := range map[string]struct{ text, want string }{
		"unknown field": {text + "colour: red\n", ": rulebook: field colour not found"},
		"a rule":        {strings.Replace(text, "channels: [sms]", "channels: [fax]", 1), `channel "fax": want messenger, instagram or sms`},
		"nothing":       {"", "own.yaml: rulebook: the file is empty"},
	} {
		file := written(t, c.text)
		_, err := OpenRulebook(file)
		if err == nil || !strings.HasPrefix(err.Error(), file+":") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	last := strings.Count(text, "\n") + 1
	file := written(t, text+"colour: red\n")
	if _, err := OpenRulebook(file); err == nil || !strings.HasPrefix(err.Error(), file+":"+strconv.Itoa(last)+": ") {
		t.Errorf("%v, want line %d", err, last)
	}
	if _, err := OpenRulebook(filepath.Join(t.TempDir(), "none")); err == nil || !strings.HasPrefix(err.Error(), "rulebook: open ") {
		t.Errorf("no file: %v", err)
	}
}

func ruled(data, rulebook string) Config {
	c := config.Local(data)
	c.Rulebook = rulebook
	return Config{Config: c}
}

// TestOwnRulebookInForce starts everything on a rulebook of its own: what the
// API answers by is that one, and a bad one is refused before anything starts.
func TestOwnRulebookInForce(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	bad := written(t, "version: 2\n")
	if _, err := StartDev(t.Context(), ruled(data, bad)); err == nil || !strings.HasPrefix(err.Error(), bad+":1: rulebook: version 2") {
		t.Fatalf("a bad rulebook: %v", err)
	}
	if _, err := os.Stat(filepath.Join(data, "nats")); err == nil {
		t.Error("something was started on a bad rulebook")
	}
	own := written(t, strings.Replace(string(policy.Embedded()), "    acknowledge: true\n", "", 1))
	d, err := StartDev(context.WithoutCancel(t.Context()), ruled(data, own))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	}()
	c := client.New(d.API(), d.Token())
	defer c.Close()
	p, err := c.Policy(t.Context())
	if err != nil || p.Rulebook != own || p.Digest != d.Rulebook().Digest {
		t.Errorf("%+v, %v, want %s", p, err, d.Rulebook())
	}
	const docs = "kind: Sender\nid: bakery\nchannel: messenger\naccount: \"1\"\ncredential: env:NONE\n---\nkind: Broadcast\nid: menu\nsender: bakery\nmessage: {text: Hello}\n"
	if _, err := c.Apply(t.Context(), "f", strings.NewReader(docs)); err != nil {
		t.Fatal(err)
	}
	if b, err := c.Launch(t.Context(), "menu"); err != nil || b.Acknowledged != nil {
		t.Errorf("this rulebook asks for nothing, yet: %+v, %v", b.Acknowledged, err)
	}
}

package definition

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/carillon-dev/carillon/internal/broadcast"
	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/hook"
	"github.com/carillon-dev/carillon/internal/sender"
	"github.com/carillon-dev/carillon/internal/stream"
	"github.com/carillon-dev/carillon/internal/subject"
)

// streams starts engines that end with the test.
func streams(t *testing.T) jetstream.JetStream {
	t.Helper()
	e, err := engine.Start(t.Context(), engine.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e.JetStream
}

func open(t *testing.T, js jetstream.JetStream, prefix string) *Store {
	t.Helper()
	names, err := subject.New(prefix)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), stream.Provider{JS: js, Create: true}, names)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decode(t *testing.T, file string) []Document {
	t.Helper()
	docs, err := Decode("f", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// apply applies a file and returns what became of each document, in words.
func apply(t *testing.T, s *Store, file string, check Check) (string, error) {
	t.Helper()
	as, err := s.Apply(t.Context(), "f", decode(t, file), check)
	var out []string
	for _, a := range as {
		out = append(out, strings.ToLower(a.Kind)+" "+a.ID+" "+a.Action)
	}
	return strings.Join(out, ", "), err
}

// TestStore runs over one pair of engines; each part has a bucket of its own.
func TestStore(t *testing.T) {
	t.Parallel()
	js := streams(t)
	for name, test := range map[string]func(*testing.T, *Store){
		"revisions": testRevisions, "bind": testBind, "ids": testIDs, "apply": testApply, "all-or-none": testAllOrNone,
		"frozen-once-launched": testLaunched, "cache": testCache, "cache-bound": testCacheBound, "cache-without-consumer": testCacheWithoutConsumer, "newer": testNewer, "hooks": testHooks, "mapping": testMapping, "endpoints": testEndpoints,
		"flows": testFlows, "flow-lives": testFlowLives, "flow-versions": testFlowVersions, "flow-names": testFlowNames, "flow-check": testFlowCheck, "flow-cache": testFlowCache, "flow-hearing": testFlowHearing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t, js, name))
		})
	}
}

// testEndpoints applies an endpoint and changes it; it is known since when it
// is there.
func testEndpoints(t *testing.T, s *Store) {
	const crm = "kind: Endpoint\nid: crm\nurl: https://crm.example/in\nsecrets: [env:A]\n"
	for i, want := range []string{"endpoint crm created", "endpoint crm unchanged", "endpoint crm updated"} {
		file := crm
		if i == 2 {
			file += "events: {states: [failed], senders: [bakery]}\n"
		}
		if got, err := apply(t, s, file, Check{}); err != nil || got != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
	e, _, err := s.Endpoint(t.Context(), "crm")
	if err != nil || len(e.Events.Senders) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	if ids, err := s.Endpoints(t.Context()); err != nil || !reflect.DeepEqual(ids, []string{"crm"}) {
		t.Errorf("%q, %v", ids, err)
	}
	last, err := s.kv.Get(t.Context(), "endpoint.crm")
	if err != nil {
		t.Fatal(err)
	}
	if since, err := s.Since(t.Context(), "crm"); err != nil || !since.Before(last.Created()) {
		t.Errorf("since %v, %v; want before its change at %v", since, err, last.Created())
	}
	if _, err := s.Since(t.Context(), "other"); err == nil {
		t.Error("since when there is one that is not there")
	}
}

// testHooks applies a hook, changes it, and refuses what would give it another
// path.
func testHooks(t *testing.T, s *Store) {
	const meta = "kind: Hook\nid: shop\ntype: meta\nsecrets: [env:A]\nverify_token: env:V\n"
	for _, c := range []struct{ doc, want string }{
		{meta, "hook shop created"},
		{meta, "hook shop unchanged"},
		{strings.Replace(meta, "[env:A]", "[env:B, env:A]", 1), "hook shop updated"},
	} {
		if got, err := apply(t, s, c.doc, Check{}); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.doc, got, err, c.want)
		}
	}
	if _, err := apply(t, s, "kind: Hook\nid: shop\ntype: twilio\nsecrets: [env:A]\n", Check{}); err == nil || !strings.Contains(err.Error(), "its type can't change") {
		t.Errorf("another type: %v", err)
	}
	refuse := errors.New("no such secret")
	if _, err := apply(t, s, strings.Replace(meta, "shop", "other", 1), Check{Hook: func(*hook.Spec) error { return refuse }}); !errors.Is(err, refuse) {
		t.Errorf("a check of a hook: %v", err)
	}
	if h, _, err := s.Hook(t.Context(), "shop"); err != nil || len(h.Secrets) != 2 {
		t.Errorf("stored %+v, %v", h, err)
	}
	if ids, err := s.Hooks(t.Context()); err != nil || !reflect.DeepEqual(ids, []string{"shop"}) {
		t.Errorf("hooks %v, %v", ids, err)
	}
}

func testRevisions(t *testing.T, s *Store) {
	ctx := t.Context()
	if _, _, err := s.Sender(ctx, "bakery"); !errors.Is(err, ErrNotFound) || err.Error() != "sender bakery: not found" {
		t.Errorf("before it is there: %v", err)
	}
	for _, id := range []string{"", "*", "a b", ">", "a..b"} {
		if _, _, err := s.Broadcast(ctx, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("broadcast %q: %v, want %v", id, err, ErrNotFound)
		}
	}
	v := decode(t, bakery)[0].Sender
	rev, err := s.PutSender(ctx, v, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, at, err := s.Sender(ctx, "bakery"); err != nil || at != rev || !reflect.DeepEqual(got, v) {
		t.Errorf("stored %+v at %d, read %+v at %d, %v", v, rev, got, at, err)
	}
	if _, err := s.PutSender(ctx, v, 0); !errors.Is(err, ErrChanged) {
		t.Errorf("created again: %v, want %v", err, ErrChanged)
	}
	next, err := s.PutSender(ctx, v, rev)
	if err != nil || next <= rev {
		t.Errorf("updated at %d: revision %d, %v", rev, next, err)
	}
	if _, err := s.PutSender(ctx, v, rev); !errors.Is(err, ErrChanged) {
		t.Errorf("updated at an old revision: %v, want %v", err, ErrChanged)
	}
	// A broadcast of the same id is another definition.
	if _, err := s.PutBroadcast(ctx, &broadcast.Broadcast{Spec: broadcast.Spec{ID: "bakery"}}, 0); err != nil {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := s.Sender(gone, "bakery"); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// testNewer asserts that a definition with a field of a newer version is
// neither acted on nor written over, by the field's loss.
func testNewer(t *testing.T, s *Store) {
	ctx := t.Context()
	for key, doc := range map[string]string{
		"sender.newer":    `{"id":"newer","channel":"messenger","approval":"two"}`,
		"broadcast.newer": `{"spec":{"id":"newer","sender":"bakery","approval":"two"},"state":"running"}`,
	} {
		if _, err := s.kv.Put(ctx, key, []byte(doc)); err != nil {
			t.Fatal(err)
		}
	}
	if v, _, err := s.Sender(ctx, "newer"); err == nil || !strings.Contains(err.Error(), "approval") {
		t.Errorf("sender %+v, %v", v, err)
	}
	if v, _, err := s.Broadcast(ctx, "newer"); err == nil || !strings.Contains(err.Error(), "approval") {
		t.Errorf("broadcast %+v, %v", v, err)
	}
}

// testBind lets many ask at once: all must get one answer.
func testBind(t *testing.T, s *Store) {
	got := make([]string, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			v, err := s.Bind(t.Context(), "key", fmt.Sprint("value of ", i))
			if err != nil {
				t.Error(err)
			}
			got[i] = v
		})
	}
	wg.Wait()
	for _, v := range got {
		if v != got[0] || v == "" {
			t.Errorf("bound to %q", got)
		}
	}
	looking := &Store{streams: stream.Provider{JS: s.streams.JS}, kv: s.kv} // as a worker does
	if v, err := looking.Bind(t.Context(), "other", "mine"); err == nil || !strings.Contains(err.Error(), "the installation's other does not exist yet: start a scheduler first") {
		t.Errorf("Bind by who may not store = %q, %v", v, err)
	}
	if v, err := s.Bind(t.Context(), "other", "o"); err != nil || v != "o" {
		t.Errorf("another key is bound to %q, %v", v, err)
	}
	for _, want := range []string{"p", "p", "q"} {
		if err := s.Rebind(t.Context(), "other", want); err != nil {
			t.Error(err)
		}
		if v, err := s.Bind(t.Context(), "other", "late"); err != nil || v != want {
			t.Errorf("bound anew to %q, %v, want %s", v, err, want)
		}
	}
}

func testIDs(t *testing.T, s *Store) {
	if ids, err := s.Senders(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("of an empty store: %q, %v", ids, err)
	}
	for _, id := range []string{"c", "a", "b"} {
		if _, err := s.PutBroadcast(t.Context(), &broadcast.Broadcast{Spec: broadcast.Spec{ID: id}}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := apply(t, s, bakery, Check{}); err != nil {
		t.Fatal(err)
	}
	if ids, err := s.Broadcasts(t.Context()); err != nil || !reflect.DeepEqual(ids, []string{"a", "b", "c"}) {
		t.Errorf("broadcasts %q, %v", ids, err)
	}
	if ids, err := s.Senders(t.Context()); err != nil || !reflect.DeepEqual(ids, []string{"bakery"}) {
		t.Errorf("senders %q, %v", ids, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if ids, err := s.Broadcasts(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %q, %v", ids, err)
	}
}

func testApply(t *testing.T, s *Store) {
	const (
		order = "kind: Template\nid: order\ntype: mtm\ntag: HUMAN_AGENT\ntext: Order {{.order}}\n"
		mail  = "kind: Broadcast\nid: mail\nsender: bakery\nmessage:\n  template: order\n"
	)
	both := menu + "---\n" + bakery
	for _, c := range []struct{ name, file, want, err string }{
		{"a broadcast without its sender", menu, "", "f:3: broadcast menu: sender bakery is not defined; apply its Sender document first"},
		{"with it, in any order", both, "broadcast menu created, sender bakery created", ""},
		{"again", both, "broadcast menu unchanged, sender bakery unchanged", ""},
		{"with an empty list", menu + "audience: {labels: [], exclude_labels: []}\n---\n" + bakery + "capabilities: []\n", "broadcast menu unchanged, sender bakery unchanged", ""},
		{"the broadcast alone", menu, "broadcast menu unchanged", ""},
		{"changed", menu + "pace: {per_second: 5}\n---\n" + bakery + "batch: true\n", "broadcast menu updated, sender bakery updated", ""},
		{"another account", strings.Replace(bakery, "1234567890", "2", 1), "", "f:3: sender bakery: channel and account can't change, since its contacts are known by them; give the other account its own id"},
		{"another channel", strings.Replace(bakery, "messenger", "instagram", 1), "", "f:3: sender bakery: channel and account can't change, since its contacts are known by them; give the other account its own id"},
		{"a template that is not there", mail, "", "f:5: broadcast mail: message.template order is not defined for sender bakery; apply its Template document first"},
		{"another sender's template", mail + "---\n" + strings.Replace(order, "type:", "sender: smithy\ntype:", 1), "", "f:5: broadcast mail: message.template order is not defined for sender bakery; apply its Template document first"},
		{"a template beside its broadcast", mail + "---\n" + order, "broadcast mail created, template order created", ""},
		{"a template again", order, "template order unchanged", ""},
		{"a template of another text", strings.Replace(order, "Order", "Your order", 1), "template order updated", ""},
		{"a tag against the template's", mail + "  tag: ACCOUNT_UPDATE\n", "", "f:6: broadcast mail: message.tag: template order is mapped with HUMAN_AGENT; leave it out"},
		{"an audience of nobody knows whom", menu + "audience: {where: \"name ==\"}\n", "", "f:5: broadcast menu: audience.where: Syntax error"},
	} {
		got, err := apply(t, s, c.file, Check{})
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s: %q, %v\nwant %q, %s", c.name, got, err, c.want, c.err)
		}
		if _, ok := errors.AsType[*Error](err); err != nil && !ok {
			t.Errorf("%s: %T", c.name, err)
		}
	}
	// Whoever may not know of all senders changes no template of others, nor one
	// that serves all.
	if got, err := apply(t, s, strings.Replace(order, "type:", "sender: smithy\ntype:", 1), Check{Sees: func(id string) bool { return id == "smithy" }}); err == nil || err.Error() != "f:1: template order: the id is taken; give it another" {
		t.Errorf("a template of others: %q, %v", got, err)
	}
	// The check sees the sender of the file before that of the store.
	var seen []bool
	as, err := s.Apply(t.Context(), "f", decode(t, bakery+"---\n"+menu), Check{Broadcast: func(p *Planned, from *sender.Spec) ([]string, error) {
		seen = append(seen, from.Batch)
		return []string{"advice on " + p.Spec.ID}, nil
	}})
	if err != nil || !reflect.DeepEqual(seen, []bool{false}) || as[0].Warnings != nil || !reflect.DeepEqual(as[1].Warnings, []string{"advice on menu"}) {
		t.Errorf("the check saw %t and gave %+v, %v", seen, as, err)
	}
}

// testAllOrNone asserts that a file with one bad document changes nothing,
// wherever the bad one stands and whatever is wrong with it.
func testAllOrNone(t *testing.T, s *Store) {
	if _, err := apply(t, s, bakery, Check{}); err != nil {
		t.Fatal(err)
	}
	moved := strings.Replace(bakery, "1234567890", "2", 1)
	refuse := errors.New("refused by the check")
	for _, c := range []struct {
		name, file string
		check      Check
		line       string
	}{
		{"a sender that moved", menu + "---\n" + moved, Check{}, "f:8: "},
		{"a check", strings.Replace(menu, "menu", "soup", 1) + "---\n" + menu, Check{Broadcast: func(p *Planned, _ *sender.Spec) ([]string, error) {
			if p.Spec.ID == "menu" {
				return nil, refuse
			}
			return nil, nil
		}}, "f:6: "},
		{"a check of a sender", menu + "---\n" + strings.Replace(bakery, "id: bakery", "id: shop", 1), Check{Sender: func(*sender.Spec) error { return refuse }}, "f:6: "},
		{"an audience", strings.Replace(menu, "menu", "soup", 1) + "---\n" + menu + "audience: {where: \"1\"}\n", Check{}, "f:10: "},
	} {
		got, err := apply(t, s, c.file, c.check)
		if err == nil || got != "" || !strings.HasPrefix(err.Error(), c.line) {
			t.Errorf("%s: %q, %v; want it refused with %s", c.name, got, err, c.line)
		}
		if ids, err := s.Broadcasts(t.Context()); err != nil || len(ids) != 0 {
			t.Errorf("%s: broadcasts %q were stored, %v", c.name, ids, err)
		}
	}
}

func testLaunched(t *testing.T, s *Store) {
	if _, err := apply(t, s, bakery+"---\n"+menu, Check{}); err != nil {
		t.Fatal(err)
	}
	b, rev, err := s.Broadcast(t.Context(), "menu")
	if err != nil || b.State != broadcast.Draft {
		t.Fatalf("%+v, %v; want a draft", b, err)
	}
	b.State = broadcast.Running
	if _, err := s.PutBroadcast(t.Context(), b, rev); err != nil {
		t.Fatal(err)
	}
	if got, err := apply(t, s, menu+"audience: {labels: []}\n", Check{}); err != nil || got != "broadcast menu unchanged" {
		t.Errorf("the same once it runs: %q, %v", got, err)
	}
	got, err := apply(t, s, menu+"pace: {per_second: 1}\n", Check{})
	if want := "f:1: broadcast menu is running and can't change any more; give the changed one another id"; got != "" || err == nil || err.Error() != want {
		t.Errorf("a change once it runs: %q, %v\nwant %s", got, err, want)
	}
}

func testCache(t *testing.T, s *Store) {
	if _, err := apply(t, s, bakery+"---\n"+menu, Check{}); err != nil {
		t.Fatal(err)
	}
	c, err := NewCache(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := c.Sender(t.Context(), "bakery"); err != nil || v.Batch {
		t.Errorf("sender %+v, %v", v, err)
	}
	if _, err := c.Sender(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a sender that is none: %v", err)
	}
	if _, err := c.Broadcast(t.Context(), "nothing~1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a source that is none: %v", err)
	}
	p, err := c.Broadcast(t.Context(), "menu~1")
	if err != nil || p.Spec.ID != "menu" || p.Says == nil {
		t.Fatalf("planned %+v, %v", p, err)
	}
	if again, err := c.Broadcast(t.Context(), "menu~1"); err != nil || again != p {
		t.Errorf("asked again, it was read again: %v", err)
	}
	if _, err := apply(t, s, bakery+"batch: true\n", Check{}); err != nil {
		t.Fatal(err)
	}
	heard(t, s, c)
	c.Close()
	// What was heard stays known.
	if v, err := c.Sender(t.Context(), "bakery"); err != nil || !v.Batch {
		t.Errorf("after Close: sender %+v, %v", v, err)
	}
}

// heard waits until the cache has heard of the changed sender. A second
// watcher tells when news is out; the cache may hear a moment later, so it is
// asked until it has, which the test's own time limit bounds.
func heard(t *testing.T, s *Store, c *Cache) {
	t.Helper()
	w, err := s.kv.Watch(t.Context(), "sender.bakery")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Stop() }()
	<-w.Updates()
	for {
		v, err := c.Sender(t.Context(), "bakery")
		if err != nil {
			t.Fatal(err)
		}
		if v.Batch {
			return
		}
	}
}

// testCacheBound asserts that a cache forgets rather than grows.
func testCacheBound(t *testing.T, s *Store) {
	if _, err := apply(t, s, bakery+"---\n"+menu, Check{}); err != nil {
		t.Fatal(err)
	}
	c, err := NewCache(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxCached + 1 {
		if _, err := c.Broadcast(t.Context(), broadcast.SourceName("menu", i)); err != nil {
			t.Fatal(err)
		}
		if len(c.broadcasts) > maxCached {
			t.Fatalf("%d are kept", len(c.broadcasts))
		}
	}
	if len(c.broadcasts) != 1 {
		t.Errorf("%d are kept after one too many, want 1", len(c.broadcasts))
	}
	c.Close()
}

// testCacheWithoutConsumer: a cache whose watcher ended, as one does that the
// servers have no place for, hears by another.
func testCacheWithoutConsumer(t *testing.T, s *Store) {
	if _, err := apply(t, s, bakery, Check{}); err != nil {
		t.Fatal(err)
	}
	c, err := NewCache(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	w, err := s.watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	c.heard, c.stop, c.stopped = make(chan struct{}), stop, make(chan struct{})
	go c.listen(ctx, w)
	defer c.Close()
	if _, err := apply(t, s, bakery+"batch: true\n", Check{}); err != nil {
		t.Fatal(err)
	}
	heard(t, s, c)
}

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/pkg/client"
)

// office is where a test gives its orders: the API of whatever answers.
type office struct {
	t   *testing.T
	api *client.Client
}

// patience bounds every wait of this package.
const patience = 90 * time.Second

// until asks again and again until a condition holds.
func (o *office) until(what string, ok func() bool) {
	o.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-limit:
			o.t.Fatalf("waited %s in vain until %s", patience, what)
		case <-tick.C:
		}
	}
}

// person is one contact as the test made it.
type person struct {
	id, name, out string
	inbound       time.Time // zero: never wrote
}

// people invents n contacts: most may be written to, some may not.
func people(n int, now time.Time) []person {
	out := make([]person, n)
	for i := range out {
		p := person{id: fmt.Sprintf("4521529%09d", i), name: fmt.Sprintf("Person %d", i), inbound: now.Add(-time.Duration(i%600) * time.Minute)}
		switch {
		case i%23 == 0:
			p.out = "all"
		case i%19 == 0:
			p.inbound = now.Add(-30 * time.Hour)
		case i%29 == 0:
			p.inbound = time.Time{}
		case i%31 == 0:
			p.name = ""
		}
		out[i] = p
	}
	return out
}

// sendable tells whether the contact may get the test's message.
func (p person) sendable(now time.Time) bool {
	return p.out == "" && p.name != "" && now.Sub(p.inbound) < 24*time.Hour && !p.inbound.IsZero()
}

func csv(ps []person) string {
	var b strings.Builder
	b.WriteString("id,name,last_inbound,opted_out,labels,city\n")
	for _, p := range ps {
		in := ""
		if !p.inbound.IsZero() {
			in = p.inbound.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(&b, "%s,%s,%s,%s,regular,Oslo\n", p.id, p.name, in, p.out)
	}
	return b.String()
}

const account = "1062540011223344"

// define applies a sender and a broadcast, and imports contacts into Carillon
// and, by its own door, into the platform's books.
func (o *office) define(pl *platform, id, sender string, ps []person) {
	o.t.Helper()
	doc := fmt.Sprintf(`kind: Sender
id: %[1]s
channel: messenger
account: "%[2]s"
credential: env:BAKERY_TOKEN
%[3]s
---
kind: Broadcast
id: %[1]s
sender: %[1]s
audience: {labels: [regular]}
message: {text: "Hello {{.name}}, the spring menu is here."}
`, id, first(pl.only, account), sender)
	if _, err := o.api.Apply(o.t.Context(), "test.yaml", strings.NewReader(doc)); err != nil {
		o.t.Fatal(err)
	}
	if _, err := pl.LoadPeople(first(pl.only, account), strings.NewReader(csv(ps))); err != nil {
		o.t.Fatal(err)
	}
	done, err := o.api.ImportContacts(o.t.Context(), id, strings.NewReader(csv(ps)), false, func(client.ImportEvent) {})
	if err != nil {
		o.t.Fatal(err)
	}
	if done.Rows != len(ps) || done.Bad != 0 || !done.InForce {
		o.t.Fatalf("import: %+v", done)
	}
}

func (o *office) launch(id string) {
	o.t.Helper()
	if _, err := o.api.Launch(o.t.Context(), id, "bulk_discouraged"); err != nil {
		o.t.Fatal(err)
	}
}

// ended waits until a broadcast is over.
func (o *office) ended(id string) client.Audit {
	o.t.Helper()
	o.until(id+" has ended", func() bool {
		b, err := o.api.Broadcast(o.t.Context(), id)
		return err == nil && b.Over()
	})
	a, err := o.api.Audit(o.t.Context(), id)
	if err != nil {
		o.t.Fatal(err)
	}
	return a
}

// still waits until nothing moves in a stopped broadcast: an envelope that
// was waiting for its slot may yet claim a job, see the stop in the recheck,
// and settle it.
func (o *office) still(id string) {
	o.t.Helper()
	var seq uint64
	same := 0
	o.until(id+" is still", func() bool {
		a, err := o.api.Audit(o.t.Context(), id)
		if err != nil {
			o.t.Fatal(err)
		}
		if same++; a.LedgerSeq != seq || a.Claimed > 0 {
			seq, same = a.LedgerSeq, 0
		}
		return same >= 60 // looks, 20 ms apart: longer than a worker waits for a slot
	})
}

// some waits until the platform has accepted at least n messages.
func (o *office) some(pl *platform, n int) {
	o.t.Helper()
	o.until(fmt.Sprintf("the platform accepted %d messages", n), func() bool { return pl.count() >= n })
}

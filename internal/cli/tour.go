package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/carillon-dev/carillon/examples"
	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
	"github.com/carillon-dev/carillon/pkg/reason"
)

// tour sends the sample broadcasts and shows what became of them, by the same
// API that everybody uses.
type tour struct {
	*session
	client  *client.Client
	sandbox string                                       // base URL; "": the platform is another
	hear    func(ctx context.Context, hook string) error // has the sandbox tell a hook what happens
	heard   func() bool                                  // it has told everything so far
}

func (t *tour) run(ctx context.Context) error {
	senders, hooks, broadcasts, err := t.define(ctx)
	if err != nil {
		return err
	}
	for _, id := range hooks {
		if err := t.hear(ctx, id); err != nil {
			return err
		}
	}
	ids, err := t.launch(ctx, senders, broadcasts)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		fmt.Fprintln(t.err, "the sample was sent before; see: carillon broadcast list")
		return nil
	}
	if err := t.watch(ctx, t.client, ids...); err != nil {
		return err
	}
	if err := t.awaitReceipts(ctx); err != nil {
		return err
	}
	for _, id := range ids {
		t.heading("")
		if err := t.audit(ctx, t.client, id); err != nil {
			return err
		}
	}
	if err := t.reportFlows(ctx); err != nil {
		return err
	}
	return t.explainOne(ctx)
}

// receiptsWithin bounds how long the report waits for what the sandbox still
// has to tell: the last messages are read half a second after they were sent.
const receiptsWithin = 10 * time.Second

// awaitReceipts waits until the sandbox has told what became of the messages,
// so that the report shows it.
func (t *tour) awaitReceipts(ctx context.Context) error {
	limit := time.After(receiptsWithin)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !t.heard() {
		select {
		case <-tick.C:
		case <-limit:
			return nil // the report says how far it came
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// define applies senders, hooks and broadcasts and returns their ids.
func (t *tour) define(ctx context.Context) (senders, hooks, broadcasts []string, err error) {
	for _, f := range []struct {
		name string
		docs []byte
		ids  *[]string
	}{{"examples/senders.yaml", examples.Senders(), &senders}, {"examples/hooks.yaml", examples.Hooks(), &hooks}, {"examples/broadcasts.yaml", examples.Broadcasts(), &broadcasts}} {
		r, err := t.client.Apply(ctx, f.name, bytes.NewReader(f.docs))
		if err != nil {
			return nil, nil, nil, err
		}
		for _, a := range r.Applied {
			*f.ids = append(*f.ids, a.ID)
		}
	}
	return senders, hooks, broadcasts, nil
}

// launch imports the contacts, launches what is still a draft, and returns
// what there is to watch. On data of an earlier start nothing may be a draft,
// and then nothing is imported either: the sample's times move along, and old
// windows would open again.
func (t *tour) launch(ctx context.Context, senders, broadcasts []string) ([]string, error) {
	var drafts, open []string
	for _, id := range broadcasts {
		b, err := t.client.Broadcast(ctx, id)
		if err != nil {
			return nil, err
		}
		switch b.State {
		case "draft":
			drafts, open = append(drafts, id), append(open, id)
		case "scheduled", "running":
			open = append(open, id)
		}
	}
	if len(drafts) == 0 {
		return open, nil
	}
	contacts := examples.Contacts(time.Now())
	for _, id := range senders {
		if err := t.importFor(ctx, id, contacts); err != nil {
			return nil, err
		}
	}
	for _, id := range drafts {
		if _, err := t.unattended().launchBroadcast(ctx, t.client, id); err != nil {
			return nil, err
		}
	}
	return open, t.tellFlows(ctx)
}

// unattended is the session of somebody who started the sample and need not
// be asked about each of its broadcasts.
func (t *tour) unattended() *session {
	s := *t.session
	s.interactive = false
	return &s
}

// importFor gives a sender's contacts to Carillon and, as people who wrote to
// the account, to the sandbox, which judges by its own books.
func (t *tour) importFor(ctx context.Context, id string, contacts []byte) error {
	v, err := t.client.Sender(ctx, id)
	if err != nil {
		return err
	}
	if t.sandbox != "" {
		if err := t.tellSandbox(ctx, v.Spec.Account, id, contacts); err != nil {
			return err
		}
	}
	bad := 0
	meter := newImportMeter(t.err, "importing contacts of "+id, 0)
	done, err := t.client.ImportContacts(ctx, id, bytes.NewReader(contacts), false, func(e client.ImportEvent) {
		switch {
		case e.Bad != nil:
			bad++
		case e.Progress != nil:
			meter.show(*e.Progress, 0)
		}
	})
	meter.clear()
	if err != nil {
		return err
	}
	fmt.Fprintf(t.err, "%s: %s contacts imported, %d rows refused\n", id, console.Count(done.Written+done.Unchanged), bad)
	return nil
}

func (t *tour) tellSandbox(ctx context.Context, account, sender string, contacts []byte) error {
	rows, err := rowsOf(sender, contacts)
	if err != nil {
		return err
	}
	target := t.sandbox + "/_sandbox/people?account=" + url.QueryEscape(account)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(rows))
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	req.Header.Set("Content-Type", "text/csv")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("sandbox: people of account %s: %s", account, resp.Status)
	}
	return nil
}

// rowsOf returns the rows of one sender, and the header. Rows that are no
// good CSV are left out: the import reports them.
func rowsOf(sender string, contacts []byte) ([]byte, error) {
	r := csv.NewReader(bytes.NewReader(contacts))
	r.FieldsPerRecord = -1
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	column := -1
	for {
		row, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			w.Flush()
			return out.Bytes(), w.Error()
		case err != nil:
			continue
		case column < 0:
			for i, name := range row {
				if name == "sender" {
					column = i
				}
			}
			if column < 0 {
				return nil, errors.New("sample contacts: no column sender")
			}
		case len(row) <= column || row[column] != sender:
			continue
		}
		if err := w.Write(row); err != nil {
			return nil, err
		}
	}
}

// heading parts what people read; JSON needs none.
func (t *tour) heading(text string) {
	if !t.json {
		fmt.Fprintln(t.out, text)
	}
}

// explainOne tells the story of a dead letter, as an example: of a closed
// window where there is one, since that is what is asked about most.
func (t *tour) explainOne(ctx context.Context) error {
	for _, f := range []client.DeadFilter{{Reason: reason.WindowClosed}, {}} {
		for l, err := range t.client.Dead(ctx, f, 1) {
			if err != nil {
				return err
			}
			return t.tell(ctx, l.Job)
		}
	}
	return nil
}

func (t *tour) tell(ctx context.Context, job string) error {
	s, err := t.client.Job(ctx, job)
	if err != nil {
		return err
	}
	if t.json {
		return t.writeJSON(s)
	}
	t.heading("\none dead letter explained: carillon why " + job + "\n")
	return buffered(t.out, func(out *console.Terminal) error { return writeStory(out, s) })
}

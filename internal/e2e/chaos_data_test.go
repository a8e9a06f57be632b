package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/carillon-dev/carillon/internal/sandbox"
	"github.com/carillon-dev/carillon/pkg/client"
)

// command runs one of the program's commands to its end, as a person would.
func command(t *testing.T, env []string, args ...string) (out, said string, err error) {
	t.Helper()
	cmd := exec.Command(built.path(t, "carillon"), args...)
	var o, e strings.Builder
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

// must is a command that succeeds.
func must(t *testing.T, env []string, args ...string) string {
	t.Helper()
	out, said, err := command(t, env, args...)
	if err != nil {
		t.Fatalf("carillon %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return out
}

// apart counts what the platform accepted of one broadcast, and fails the test
// for what came twice.
func (p *platform) apart(t *testing.T, broadcast string) (people map[string]bool, duplicates int) {
	t.Helper()
	people, jobs := map[string]bool{}, map[string]bool{}
	for _, m := range p.books(t) {
		if !strings.HasSuffix(m.Metadata, "."+broadcast+"~1") {
			continue
		}
		if jobs[m.Metadata] {
			t.Errorf("%s reached the platform twice", m.Metadata)
			duplicates++
		}
		jobs[m.Metadata], people[m.Person] = true, true
	}
	return people, duplicates
}

// TestChaosRestoredFromABackup takes a backup in the middle of a broadcast, has
// it go on, loses everything but the key, and restores. Who was written to
// after the backup is not written to again, whatever is let go, unless somebody
// lets that broadcast go on.
func TestChaosRestoredFromABackup(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := boot(t, pl)
	ps := people(1500, time.Now())
	p.define(pl, "spring", "rate: {per_second: 200}", ps)
	p.launch("spring")
	p.some(pl, 200)
	file := filepath.Join(t.TempDir(), "copy.tar")
	must(t, p.environ(), "backup", file)
	p.some(pl, pl.count()+200)
	late := ps[len(ps)-1] // who opts out after the backup
	if _, err := p.api.OptOut(t.Context(), "spring", client.OptOutRequest{Contact: late.id, Source: "by letter"}); err != nil {
		t.Fatal(err)
	}
	p.stop(syscall.SIGKILL)
	sent := pl.count()
	began := time.Now()

	key, err := os.ReadFile(filepath.Join(p.dir, "installation.key"))
	if err != nil {
		t.Fatal(err)
	}
	p.dir = t.TempDir()
	if _, said, err := command(t, p.environ(), "restore", file); err == nil || !strings.Contains(said, "no backup has the installation's key") {
		t.Errorf("without the key: %v %s", err, said)
	}
	write(t, filepath.Join(p.dir, "installation.key"), string(key))
	var held struct {
		Records    int
		Senders    []string
		Broadcasts []string
	}
	if err := json.Unmarshal([]byte(must(t, p.environ(), "restore", "--json", file)), &held); err != nil || len(held.Senders) != 1 || len(held.Broadcasts) != 1 || held.Records < 1500 {
		t.Fatalf("restored %+v, %v", held, err)
	}
	if _, said, err := command(t, p.environ(), "restore", file); err == nil || !strings.Contains(said, "restore into a data directory without a store") {
		t.Errorf("a second time: %v %s", err, said)
	}
	p.start()
	took := time.Since(began)

	p.still("spring")
	a, err := p.api.Audit(t.Context(), "spring")
	if err != nil || !a.Balanced || a.Audience != len(ps) {
		t.Fatalf("the audit after the restore: %+v, %v", a, err)
	}
	p.members("spring", a)
	if n := pl.count(); n != sent {
		t.Fatalf("%d left by themselves", n-sent)
	}
	if _, err := p.api.OptOut(t.Context(), "spring", client.OptOutRequest{Contact: late.id, Source: "by letter, again"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.api.ResumeSender(t.Context(), "spring"); err != nil {
		t.Fatal(err)
	}
	// Something else goes out by the same sender: what is paused does not.
	doc := "kind: Broadcast\nid: sorry\nsender: spring\naudience: {labels: [regular]}\nmessage: {text: \"{{.name}}, we are back.\"}\n"
	if _, err := p.api.Apply(t.Context(), "sorry.yaml", strings.NewReader(doc)); err != nil {
		t.Fatal(err)
	}
	p.launch("sorry")
	after := p.ended("sorry")
	if _, err := p.api.Cancel(t.Context(), "spring"); err != nil {
		t.Fatal(err)
	}
	end := p.ended("spring")
	if !end.Balanced || end.Pending != 0 || end.Sent < a.Sent || !after.Balanced {
		t.Errorf("in the end: %+v\n%+v", end, after)
	}
	first, twice := pl.apart(t, "spring")
	second, again := pl.apart(t, "sorry")
	if len(first) != sent {
		t.Errorf("%d got the broadcast that was paused, %d before", len(first), sent)
	}
	if second[late.id] {
		t.Error("who opted out got a message")
	}
	row := figures{fault: "data: restored from a backup taken while sending", injected: 1, sent: len(first) + len(second), duplicates: twice + again, unknown: end.Unknown + after.Unknown, held: a.Pending, recovery: took}
	row.lost = max(0, sendables(t, ps)-1-after.Sent-after.Unknown)
	faults.add(t, row)
	if v := pl.Summary("").Violations; v["opted_out"]+v["outside_window"]+v["rate"] != 0 {
		t.Errorf("violations: %v", v)
	}
}

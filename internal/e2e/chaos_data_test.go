package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	ctx, cancel := context.WithTimeout(t.Context(), patience) // what should have refused may go on for ever
	defer cancel()
	cmd := exec.CommandContext(ctx, built.path(t, "carillon"), args...)
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
	marks, err := os.ReadFile(filepath.Join(p.dir, "marks"))
	if err != nil {
		t.Fatal(err)
	}
	p.dir = t.TempDir()
	write(t, filepath.Join(p.dir, "marks"), string(marks)) // left where the store was lost alone: they went on further
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

// bootAt starts `carillon dev` on a data directory that is there.
func bootAt(t *testing.T, pl *platform, dir string, env ...string) *process {
	t.Helper()
	p := &process{office: office{t: t}, dir: dir, addr: freeAddr(t), meta: pl.url, env: env}
	p.start()
	t.Cleanup(func() {
		if p.running() {
			p.stop(syscall.SIGTERM)
		}
	})
	return p
}

// TestDataOfBeforeMarks opens what a version wrote that marked nothing: a
// broadcast of text messages, paused in the middle. It goes on where it was.
func TestDataOfBeforeMarks(t *testing.T) {
	t.Parallel()
	const sent, left = 18, 39
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xzf", filepath.Join("testdata", "before-marks.tar.gz"), "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pl := newPlatform(t, sandbox.Options{RatePerSecond: 100_000})
	p := bootAt(t, pl, dir, "TWILIO_TOKEN=secret-token", "CARILLON_TWILIO_URL="+pl.url)
	a, err := p.api.Audit(t.Context(), "spring")
	if err != nil || !a.Balanced || a.Sent != sent || a.Pending != left+2 {
		t.Fatalf("as it was: %+v, %v", a, err)
	}
	if _, err := p.api.Resume(t.Context(), "spring"); err != nil {
		t.Fatal(err)
	}
	if a = p.ended("spring"); !a.Balanced || a.Sent != sent+left || a.Pending != 0 {
		t.Errorf("in the end: %+v", a)
	}
	if _, twice := pl.apart(t, "spring"); twice != 0 || pl.count() != left {
		t.Errorf("%d went out, want those %d that had not", pl.count(), left)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "format.json")); err != nil || !strings.Contains(string(b), `"format":1`) {
		t.Errorf("it is not marked: %s, %v", b, err)
	}
}

// TestChaosFileDamaged kills a process in the middle of a broadcast and damages
// one file after the other, the ledger's end at the record that was acknowledged
// last. Where truth is damaged it does not start and says so in
// one line; where the server makes a file anew it goes on.
func TestChaosFileDamaged(t *testing.T) {
	t.Parallel()
	pl := newPlatform(t, sandbox.Options{Strict: true, RatePerSecond: 100_000})
	p := boot(t, pl)
	ps := people(1000, time.Now())
	p.define(pl, "spring", single, ps)
	p.launch("spring")
	p.some(pl, 200)
	p.stop(syscall.SIGKILL)
	row := figures{fault: "data: file damaged", injected: 0}
	whole := p.dir
	streams := filepath.Join("nats", "jetstream", "$G", "streams")
	ledger := filepath.Join(streams, "LEDGER_"+time.Now().UTC().Format("200601")+"_0")
	half := func(b []byte) []byte { return b[:len(b)/2] }
	// The record that was acknowledged last, at the very kill.
	from, to := acknowledgedLast(t, whole, filepath.Base(ledger), filepath.Join(whole, ledger, "msgs", "1.blk"))
	flipped := func(b []byte) []byte { b[len(b)/2] ^= 0x41; return b }
	misspelt := func(b []byte) []byte { // in what a record says, not in how long it is
		b[len(b)/2+bytes.Index(b[len(b)/2:], []byte(`":`))] ^= 0x41
		return b
	}
	for name, c := range map[string]struct {
		file string
		edit func([]byte) []byte // nil: it is removed
		want string
	}{
		"a byte of the ledger":    {filepath.Join(ledger, "msgs", "1.blk"), misspelt, "a record is not the one that was written"},
		"half of the ledger":      {filepath.Join(ledger, "msgs", "1.blk"), half, "ends at record"},
		"the ledger's last claim": {filepath.Join(ledger, "msgs", "1.blk"), func(b []byte) []byte { return b[:from] }, "ends at record"},
		"the end of that":         {filepath.Join(ledger, "msgs", "1.blk"), func(b []byte) []byte { return b[:to-1] }, "ends at record"},
		"the ledger's settings":   {filepath.Join(ledger, "meta.inf"), flipped, "settings are not those that were written"},
		"the ledger":              {ledger, nil, "is gone"},
		"a byte of the facts":     {filepath.Join(streams, "FACTS", "msgs", "1.blk"), misspelt, "a record is not the one that was written"},
		"the facts' records":      {filepath.Join(streams, "FACTS", "msgs", "1.blk"), nil, "FACTS"},
		"half of the definitions": {filepath.Join(streams, "KV_DEFS", "msgs", "1.blk"), half, "KV_DEFS"},
		"the key's end":           {"installation.key", half, "want 64 or more hex digits"},
		"the token":               {"token", half, "want 64 or more hex digits"},
		"the mark of the form":    {"format.json", half, "format.json"},
		"a later form":            {"format.json", func([]byte) []byte { return []byte(`{"format":9,"by":"carillon v9"}`) }, "it has form 9, written by carillon v9"},
		"the marks":               {"marks", flipped, "marks is damaged"},
	} {
		p.dir = t.TempDir()
		if err := os.CopyFS(p.dir, without(whole)); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(p.dir, c.file)
		if c.edit == nil {
			if err := os.RemoveAll(at); err != nil {
				t.Fatal(err)
			}
		} else {
			b, err := os.ReadFile(at)
			if err != nil {
				t.Fatal(err)
			}
			write(t, at, string(c.edit(b)))
		}
		for _, secret := range []string{"installation.key", "token"} {
			if err := os.Chmod(filepath.Join(p.dir, secret), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, said, err := command(t, p.environ(), "dev", "--sample=false")
		last := lastLine(said)
		if err == nil || !strings.Contains(last, c.want) {
			t.Errorf("%s: %v: %s, want %q", name, err, last, c.want)
		}
		row.injected++
	}
	// The server's own index is made anew.
	p.dir = whole
	indexes, err := filepath.Glob(filepath.Join(whole, streams, "*", "msgs", "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range indexes {
		write(t, at, "half an index")
		row.injected++
	}
	p.start()
	p.ended("spring")
	got := p.weigh(pl, "spring", ps)
	got.fault, got.injected = row.fault, row.injected
	faults.add(t, got)
}

// acknowledgedLast returns where in a stream's first block the record stands that
// the marks know last.
func acknowledgedLast(t *testing.T, data, stream, block string) (from, to int) {
	t.Helper()
	marks, err := os.ReadFile(filepath.Join(data, "marks"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(marks), "\n"+stream+" ")
	var last uint64
	if _, err := fmt.Sscan(rest, &last); err != nil {
		t.Fatalf("no mark of %s: %v", stream, err)
	}
	b, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	for from < len(b) {
		to = from + int(binary.LittleEndian.Uint32(b[from:])&^(1<<31))
		if binary.LittleEndian.Uint64(b[from+4:]) == last {
			return from, to
		}
		from = to
	}
	t.Fatalf("record %d was acknowledged, and is not there", last)
	return 0, 0
}

// without is a data directory without its socket, which can't be copied.
func without(dir string) fs.FS { return noSocket{os.DirFS(dir)} }

type noSocket struct{ fs.FS }

// ReadDir leaves the socket out.
func (n noSocket) ReadDir(name string) ([]fs.DirEntry, error) {
	es, err := fs.ReadDir(n.FS, name)
	return slices.DeleteFunc(es, func(e fs.DirEntry) bool { return e.Type()&fs.ModeSocket != 0 }), err
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

package use_test

import (
	"os"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/carillon-dev/carillon/internal/engine"
	"github.com/carillon-dev/carillon/internal/job"
	"github.com/carillon-dev/carillon/internal/rig"
	"github.com/carillon-dev/carillon/internal/use"
)

var engines *engine.Engines

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, func(e *engine.Engines) { engines = e }))
}

func jobOf(sender string, broadcast int) job.ID {
	return job.Source{Month: "202611", Sender: sender, Name: "b" + strconv.Itoa(broadcast) + "~1"}.Job(job.Key{1})
}

// TestOneOwner lets several broadcasts ask for the same permissions at once,
// some of them again and again: every permission has one owner, which every
// asker is told.
func TestOneOwner(t *testing.T) {
	r := rig.Open(t, engines)
	s, err := use.Open(t.Context(), engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		type ask struct{ permission, broadcast int }
		asks := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) ask {
			return ask{rapid.IntRange(0, 2).Draw(t, "permission"), rapid.IntRange(0, 3).Draw(t, "broadcast")}
		}), 1, 12).Draw(rt, "asks")
		owners, errs := make([]string, len(asks)), make([]error, len(asks))
		var all sync.WaitGroup
		for i, a := range asks {
			all.Go(func() {
				owners[i], errs[i] = s.Claim(t.Context(), "1234", strconv.Itoa(round)+"/"+strconv.Itoa(a.permission), jobOf("bakery", a.broadcast))
			})
		}
		all.Wait()
		first := map[int]string{}
		for i, a := range asks {
			if errs[i] != nil {
				rt.Fatal(errs[i])
			}
			if known := first[a.permission]; known != "" && known != owners[i] {
				rt.Fatalf("permission %d is %s's and %s's", a.permission, known, owners[i])
			}
			first[a.permission] = owners[i]
		}
		for permission, owner := range first {
			asked := false
			for _, a := range asks {
				asked = asked || a.permission == permission && jobOf("bakery", a.broadcast).String() == owner
			}
			if !asked {
				rt.Fatalf("permission %d is %s's, which never asked", permission, owner)
			}
		}
	})
}

// TestPermissionsOfTwoAccounts are two, whatever they are called; senders that
// are one account share theirs.
func TestPermissionsOfTwoAccounts(t *testing.T) {
	r := rig.Open(t, engines)
	s, err := use.Open(t.Context(), engines.NATS, r.Streams, r.Names)
	rig.Must(t, err)
	for _, c := range []struct{ account, sender, owner string }{{"12", "bakery", "bakery"}, {"34", "smithy", "smithy"}, {"12", "cafe", "bakery"}} {
		if owner, err := s.Claim(t.Context(), c.account, "c.1 > *", jobOf(c.sender, 1)); err != nil || owner != jobOf(c.owner, 1).String() {
			t.Errorf("%s of %s: %q, %v", c.sender, c.account, owner, err)
		}
	}
}

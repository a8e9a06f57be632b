package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// adminMux routes the tester's side.
func (s *Sandbox) adminMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /_sandbox/accounts", s.serveAccounts)
	mux.HandleFunc("POST /_sandbox/people", s.servePeople)
	mux.HandleFunc("GET /_sandbox/people", listed(s.listPeople))
	mux.HandleFunc("POST /_sandbox/play", s.servePlay)
	mux.HandleFunc("POST /_sandbox/inbound", s.serveInbound)
	mux.HandleFunc("POST /_sandbox/events", s.serveHappening)
	mux.HandleFunc("POST /_sandbox/labels", s.serveLabelOrder)
	mux.HandleFunc("GET /_sandbox/told", listed(s.listTold))
	mux.HandleFunc("POST /_sandbox/webhooks", s.serveSubscribe)
	mux.HandleFunc("GET /_sandbox/webhooks", s.serveSubscriptions)
	mux.HandleFunc("DELETE /_sandbox/webhooks", s.serveUnsubscribe)
	mux.HandleFunc("POST /_sandbox/optout", s.serveFlag(optedOutAll))
	mux.HandleFunc("POST /_sandbox/block", s.serveFlag(blockedBusiness))
	mux.HandleFunc("POST /_sandbox/faults", s.serveAddFault)
	mux.HandleFunc("GET /_sandbox/faults", s.serveFaults)
	mux.HandleFunc("DELETE /_sandbox/faults", s.serveClearFaults)
	mux.HandleFunc("GET /_sandbox/accepted", listed(s.listAccepted))
	mux.HandleFunc("GET /_sandbox/calls", listed(s.listCalls))
	mux.HandleFunc("GET /_sandbox/rate", s.serveRate)
	mux.HandleFunc("GET /_sandbox/summary", s.serveSummary)
	return mux
}

// Declare says what an account is. Declared again, it is replaced; what the
// books hold of its people and messages stays.
func (s *Sandbox) Declare(a Account) error {
	if err := a.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.books.declare(a)
	return nil
}

// AddFault orders a fault and returns it with its ID.
func (s *Sandbox) AddFault(f Fault) (Fault, error) {
	s.mu.Lock()
	f, err := s.faults.add(f)
	s.mu.Unlock()
	if err == nil {
		s.log.Info("fault ordered", "kind", string(f.Kind), "account", f.Account, "probability", f.Probability, "count", f.Count)
	}
	return f, err
}

// ClearFaults forgets all faults.
func (s *Sandbox) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.list = nil
}

// Faults lists the faults as they stand.
func (s *Sandbox) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Fault, 0, len(s.faults.list))
	for _, f := range s.faults.list {
		out = append(out, *f)
	}
	return out
}

// Summary is what happened so far to one account, or to all for "".
func (s *Sandbox) Summary(account string) Summary {
	sum := newSummary(s.opts.Seed)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.books.accounts {
		if account == "" || a.id == account {
			sum.add(&a.counts)
		}
	}
	return sum
}

// Rate is the most calls that an account made in any sliding second.
type Rate struct {
	Account string    `json:"account"`
	Limit   int       `json:"limit"`
	Calls   uint64    `json:"calls"`
	Peak    int       `json:"peak"`
	PeakAt  time.Time `json:"peak_at"` // arrival of that second's last call
}

// Rates lists the rates of one account, or of all for "".
func (s *Sandbox) Rates(account string) []Rate {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Rate{}
	for _, a := range s.books.accounts {
		if account == "" || a.id == account {
			out = append(out, Rate{a.id, a.declared.RatePerSecond, a.counts.calls, a.calls.peak, time.Unix(0, a.calls.peakAt).UTC()})
		}
	}
	return out
}

func (s *Sandbox) serveAccounts(w http.ResponseWriter, r *http.Request) {
	var a Account
	if err := decode(w, r, &a); err != nil {
		badRequest(w, err)
		return
	}
	if err := s.Declare(a); err != nil {
		badRequest(w, err)
		return
	}
	respond(w, http.StatusOK, map[string]string{"account": a.Account})
}

func (s *Sandbox) servePeople(w http.ResponseWriter, r *http.Request) {
	liftDeadlines(w)
	done, err := s.LoadPeople(r.URL.Query().Get("account"), r.Body)
	if err != nil {
		respond(w, http.StatusBadRequest, struct {
			Error string `json:"error"`
			Loaded
		}{err.Error(), done})
		return
	}
	respond(w, http.StatusOK, done)
}

// personOrder is what a tester says of one person.
type personOrder struct {
	Account string `json:"account"`
	Person  string `json:"person"`
	Lift    bool   `json:"lift"`
}

func (o personOrder) validate() error {
	if o.Person == "" || len(o.Person) > maxRecipientBytes {
		return fmt.Errorf("person must be an id of 1 to %d bytes", maxRecipientBytes)
	}
	return Account{Account: o.Account}.validate()
}

// change decodes an order and enters it with the books locked.
func (s *Sandbox) change(w http.ResponseWriter, r *http.Request, enter func(personOrder, *account)) {
	var o personOrder
	err := decode(w, r, &o)
	if err == nil {
		err = o.validate()
	}
	if err != nil {
		badRequest(w, err)
		return
	}
	s.mu.Lock()
	enter(o, s.books.account(o.Account))
	s.mu.Unlock()
	respond(w, http.StatusOK, map[string]string{"account": o.Account, "person": o.Person})
}

func (s *Sandbox) serveFlag(f personFlags) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.change(w, r, func(o personOrder, a *account) {
			p := s.books.person(a, o.Person, s.opts.Now().UnixNano())
			p.flags |= f
			if o.Lift {
				p.flags &^= f
			}
		})
	}
}

func (s *Sandbox) serveAddFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	err := decode(w, r, &f)
	if err == nil {
		f, err = s.AddFault(f)
	}
	if err != nil {
		badRequest(w, err)
		return
	}
	respond(w, http.StatusOK, f)
}

func (s *Sandbox) serveFaults(w http.ResponseWriter, _ *http.Request) {
	respond(w, http.StatusOK, map[string][]Fault{"faults": s.Faults()})
}

func (s *Sandbox) serveClearFaults(w http.ResponseWriter, _ *http.Request) {
	s.ClearFaults()
	respond(w, http.StatusOK, map[string][]Fault{"faults": {}})
}

func (s *Sandbox) serveRate(w http.ResponseWriter, r *http.Request) {
	respond(w, http.StatusOK, map[string][]Rate{"accounts": s.Rates(r.URL.Query().Get("account"))})
}

func (s *Sandbox) serveSummary(w http.ResponseWriter, r *http.Request) {
	respond(w, http.StatusOK, s.Summary(r.URL.Query().Get("account")))
}

// decode reads one JSON object and refuses fields that it doesn't know: a
// misspelt order must not pass as a weaker one.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("read the request body: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("read the request body: one JSON object, and nothing after it")
	}
	return nil
}

func badRequest(w http.ResponseWriter, err error) {
	respond(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func respond(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the caller may have gone
}

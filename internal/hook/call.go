package hook

import (
	"errors"
	"fmt"
	"net/textproto"
	"time"

	"github.com/carillon-dev/carillon/internal/event"
	"github.com/carillon-dev/carillon/internal/secret"
)

// The methods of calls, without net/http: whoever reads calls does no I/O.
const (
	MethodGet  = "GET"
	MethodPost = "POST"
)

// Call is one request to a hook, as it came. Nothing of it is to be believed
// before a reader found out who signed it.
type Call struct {
	Hook        *Spec
	Secrets     []secret.Text        // those of the hook that can be resolved, in its order; at least one
	VerifyToken secret.Text          // meta: what the platform has to know to subscribe; "" where it can't be resolved
	Method      string               // MethodGet or MethodPost, or one that no reader takes
	URL         string               // the whole address as the caller knows it, with its query; some sign it
	Header      textproto.MIMEHeader // net/http's, without net/http
	Body        []byte               // raw, of bounded length; empty where there is none
	At          time.Time            // when it came, by our clock
}

// Posted returns a *WrongMethod for a call that is no POST.
func (c *Call) Posted() error {
	if c.Method != MethodPost {
		return &WrongMethod{Method: c.Method, Want: MethodPost}
	}
	return nil
}

// Answer is the body of a 200. The zero value is an empty one.
type Answer struct {
	Type string // of its content; "" where Body is empty
	Body []byte
}

// Told is what a call said, once it is known to be the platform's.
type Told struct {
	Events []event.Event // each with Source, ID, Type and Time; none where the call only asks
	Answer Answer        // given once the events are in force
}

// ErrRefused says that a call is not known to be the platform's: its
// signature or its token is missing, or not by any secret of the hook. It is
// answered with 403.
var ErrRefused = errors.New("it is not signed by a secret of this hook")

// Malformed says that a call is the platform's and can't be read. It is
// answered with 400. Why holds nothing of what people wrote.
type Malformed struct{ Why string }

// Error says what is wrong with the body.
func (m *Malformed) Error() string { return "the body can't be read: " + m.Why }

// WrongMethod says that this type of hook is not called so. It is answered
// with 405.
type WrongMethod struct {
	Method string
	Want   string // those that it takes, as the Allow header has them
}

// Error says what it takes instead.
func (w *WrongMethod) Error() string {
	return fmt.Sprintf("this hook takes %s, not %s", w.Want, w.Method)
}

package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// graphContentType is what Graph puts on its JSON.
const graphContentType = "text/javascript; charset=UTF-8"

const (
	oauthException  = "OAuthException"
	methodException = "GraphMethodException"
	batchException  = "GraphBatchException"
)

// graphError is a refusal as the platform words it. Statuses follow what is
// known of the platform: 400, but 401 for tokens, 403 for permissions and 429
// for rates.
type graphError struct {
	status    int
	code      int // 0: the body carries none
	subcode   int // 0: the body carries none
	kind      string
	message   string
	transient bool
}

// key is the error as counts name it: "10/2018278", "613".
func (e *graphError) key() string {
	if e.subcode == 0 {
		return fmt.Sprint(e.code)
	}
	return fmt.Sprintf("%d/%d", e.code, e.subcode)
}

type errorBody struct {
	Message   string `json:"message"`
	Type      string `json:"type"`
	Code      int    `json:"code,omitempty"`
	Subcode   int    `json:"error_subcode,omitempty"`
	Transient bool   `json:"is_transient"`
	Trace     string `json:"fbtrace_id"`
}

// render is the error's body under the given trace id.
func (e *graphError) render(trace string) []byte {
	b, err := json.Marshal(map[string]errorBody{"error": {e.message, e.kind, e.code, e.subcode, e.transient, trace}})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}

func refuse(status, code, subcode int, message string) *graphError {
	return &graphError{status: status, code: code, subcode: subcode, kind: oauthException,
		message: fmt.Sprintf("(#%d) %s", code, message)}
}

func errParam(subcode int, message string) *graphError {
	return refuse(http.StatusBadRequest, 100, subcode, message)
}

func errPermission(subcode int, message string) *graphError {
	return refuse(http.StatusForbidden, 10, subcode, message)
}

func errWindow(instagram bool) *graphError {
	const message = "This message is sent outside of allowed window."
	if instagram {
		return refuse(http.StatusBadRequest, 10, 2534022, message)
	}
	return refuse(http.StatusBadRequest, 10, 2018278, message)
}

func errUnavailable() *graphError {
	return refuse(http.StatusBadRequest, 551, 1545041, "This person isn't available right now.")
}

// errThread is for a thread that another app controls.
func errThread(instagram bool) *graphError {
	if instagram {
		return errParam(2534037, "This app is not the thread owner.")
	}
	return refuse(http.StatusBadRequest, 10, 2018300, "Another app is controlling this thread now.")
}

// errContactTerms is for labels of a Page that has not accepted the contact
// terms. The code is the platform's, the words and the link are ours.
func errContactTerms(account string) *graphError {
	return refuse(http.StatusBadRequest, 2, 2018344,
		"The Page has not accepted the contact terms yet: https://www.facebook.com/"+account+"/contact_terms")
}

// errTemplate has no documented code of its own.
func errTemplate() *graphError {
	return errParam(0, "The message template does not exist in this language, or is not approved.")
}

func errRestricted() *graphError {
	return refuse(http.StatusForbidden, 10, 1893063, "You are temporarily restricted from sending messages.")
}

func errNoUser(instagram bool) *graphError {
	if instagram {
		return errParam(2534014, "The requested user cannot be found.")
	}
	return errParam(2018001, "No matching user found.")
}

func errRetiredTag(tag string) *graphError {
	return errParam(1893061, "The message tag "+tag+" is deprecated.")
}

func errInvalidTag() *graphError { return errParam(0, "Invalid tag.") }

func errLength(param string, limit int) *graphError {
	return errParam(0, fmt.Sprintf("Length of param %s must be less than or equal to %d", param, limit))
}

func errRate() *graphError {
	e := refuse(http.StatusTooManyRequests, 613, 0, "Calls to this api have exceeded the rate limit.")
	e.transient = true
	return e
}

func errToken() *graphError {
	return &graphError{status: http.StatusUnauthorized, code: 190, subcode: 463, kind: oauthException,
		message: "Error validating access token: Session has expired."}
}

func errNoToken() *graphError {
	return &graphError{status: http.StatusBadRequest, code: 104, kind: oauthException,
		message: "An access token is required to request this resource."}
}

func errProof(given string) *graphError {
	message := "Invalid appsecret_proof provided in the API argument"
	if given == "" {
		message = "API calls from the server require an appsecret_proof argument"
	}
	return &graphError{status: http.StatusBadRequest, code: 100, kind: methodException, message: message}
}

func errUnsupported(method string) *graphError {
	return &graphError{status: http.StatusBadRequest, code: 100, subcode: 33, kind: methodException,
		message: "Unsupported " + strings.ToLower(method) + " request."}
}

func errUnknownPath(path string) *graphError {
	return &graphError{status: http.StatusBadRequest, code: 2500, kind: oauthException,
		message: "Unknown path components: " + path}
}

// errBatchSize has no code: none is documented for it.
func errBatchSize() *graphError {
	return &graphError{status: http.StatusBadRequest, kind: batchException,
		message: fmt.Sprintf("Too many requests in batch message. Maximum batch size is %d", maxBatch)}
}

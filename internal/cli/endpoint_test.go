package cli

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/carillon-dev/carillon/pkg/client"
)

// someEndpoints are one that goes well, and one that was turned off.
func someEndpoints() []client.Endpoint {
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	return []client.Endpoint{
		{ID: "crm", Host: "crm.example", State: client.EndpointOn, Behind: 1200, Waiting: []client.EndpointPush{{ID: "msg_1", Outcomes: 100}}, Taken: at},
		{
			ID: "old", Host: "old.example:8443", State: client.EndpointOff, Why: "the endpoint answered 410: it wants no more", Since: at, Behind: 7, Failures: 3, Error: "answered 410",
			Waiting: []client.EndpointPush{{ID: "msg_2", Outcomes: 3, Attempts: 2, First: at, Next: at.Add(time.Hour), Status: 410, Error: "answered 410"}},
			Dead:    []client.EndpointPush{{ID: "msg_3", Outcomes: 1, Attempts: 10, First: at.Add(-75 * time.Hour), Status: 422, Error: "answered 422"}}, Cursor: "e30",
		},
	}
}

func (f *fake) endpoint(w http.ResponseWriter, r *http.Request) {
	e := someEndpoints()[0]
	switch r.PathValue("verb") {
	case "disable":
		e = someEndpoints()[1]
	case "replay":
		var q client.ReplayRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Since.IsZero() != q.Dead {
			refuse(w, 400, "want either since or dead")
			return
		}
	}
	answer(w, 200, e)
}

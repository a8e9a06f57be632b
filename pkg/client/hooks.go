package client

import (
	"context"
	"iter"
	"time"
)

// Hook is where a platform calls, and what came in there since the server that
// answers began.
type Hook struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	Path     string    `json:"path"`
	URL      string    `json:"url,omitempty"`      // as the platform knows it, where the document says so
	Secrets  int       `json:"secrets"`            // how many may sign
	Problems []string  `json:"problems,omitempty"` // secrets that can't be resolved by this server
	Calls    int64     `json:"calls"`              // taken
	Events   int64     `json:"events"`             // that they told, repeats too
	Refused  int64     `json:"refused"`            // not signed by a secret of the hook
	Unread   int64     `json:"unread"`             // signed and not to be read
	Lost     int64     `json:"lost"`               // not kept, so that the platform calls again
	Last     time.Time `json:"last,omitzero"`      // the newest call that was taken; zero: none was
}

// Hooks lists all hooks, by id.
func (c *Client) Hooks(ctx context.Context) iter.Seq2[Hook, error] {
	return list[Hook](ctx, c, get("/v1/hooks", nil))
}

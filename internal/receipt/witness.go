package receipt

import (
	"context"
	"errors"
	"time"

	"github.com/carillon-dev/carillon/internal/definition"
)

// Witness says what is known of the unknown outcomes of any sender. A nil one
// knows nothing.
type Witness struct {
	Echoes *Echoes
	Defs   *definition.Store
}

// Evidence returns what is known of a sender's unknown outcomes now. Nothing
// is of a sender that is not defined.
func (w *Witness) Evidence(ctx context.Context, id string) (Evidence, error) {
	now := time.Now().UTC()
	if w == nil {
		return Evidence{Now: now}, nil
	}
	n, _, err := w.Defs.Sender(ctx, id)
	if errors.Is(err, definition.ErrNotFound) {
		return Evidence{Now: now}, nil
	}
	if err != nil {
		return Evidence{}, err
	}
	return w.Echoes.Evidence(ctx, n, now)
}

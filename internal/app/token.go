package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/carillon-dev/carillon/internal/secret"
)

// shareToken is what a scheduler needs that has another root token than the
// others: behind one address every other request would be refused.
const shareToken = "set CARILLON_TOKEN or CARILLON_TOKEN_FILE to the token of the other schedulers, or to a new one for all of them"

// findToken finds the API's root token, or makes it and leaves it where a
// local client looks. The installation remembers which one it is, so that no
// scheduler makes one of its own beside it. A token that somebody set is taken
// as it is, and is the one from then on; so is what a process finds or makes
// that has the installation for itself.
func (c *core) findToken(ctx context.Context) error {
	alone := c.cfg.NATSURL == ""
	if c.cfg.Token != "" {
		c.token = c.cfg.Token
		return c.defs.Rebind(ctx, "token", c.keyed(string(c.token)))
	}
	path := filepath.Join(c.cfg.Data, "token")
	bound, err := c.defs.Bound(ctx, "token")
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && bound != "" && !alone {
		return fmt.Errorf("%s is not there, and this installation has a root token: %s", path, shareToken)
	}
	plain, err := secretFile(path)
	if err != nil {
		return err
	}
	token := hex.EncodeToString(plain)
	mark := c.keyed(token)
	if alone {
		c.token = secret.Text(token)
		return c.defs.Rebind(ctx, "token", mark)
	}
	if bound, err = c.defs.Bind(ctx, "token", mark); err != nil {
		return err
	}
	if bound != mark {
		return fmt.Errorf("%s is not this installation's root token: %s", path, shareToken)
	}
	c.token = secret.Text(token)
	return nil
}

// keyed is a text's hash under a key: who can read it and lacks the key can't
// try texts until one fits.
func keyed(key []byte, text string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("root token\x00" + text))
	return hex.EncodeToString(h.Sum(nil))
}

package push

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/carillon-dev/carillon/internal/secret"
)

// How a secret is written: https://www.standardwebhooks.com asks for 24 to 64
// random bytes.
const (
	secretPrefix  = "whsec_"
	leastSecret   = 24
	longestSecret = 64
)

var errSecret = errors.New("want whsec_ and 24 to 64 bytes in base64")

// CheckSecret says why a secret can't sign, without a word of it.
func CheckSecret(s secret.Text) error { _, err := keyOf(s); return err }

func keyOf(s secret.Text) ([]byte, error) {
	text, ok := strings.CutPrefix(string(s), secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < leastSecret || len(key) > longestSecret {
		return nil, errSecret
	}
	return key, nil
}

// Sign returns the header webhook-signature of a message: one signature by
// each secret, so that a receiver that knows the older or the newer of two
// takes it.
func Sign(id string, at time.Time, body []byte, secrets []secret.Text) (string, error) {
	if len(secrets) == 0 {
		return "", errors.New("no secret to sign with")
	}
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		key, err := keyOf(s)
		if err != nil {
			return "", fmt.Errorf("secret %d: %w", i+1, err)
		}
		h := hmac.New(sha256.New, key)
		h.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		h.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}

package idempotency

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// Key is an idempotency key of one caller, with what is derived from it.
type Key struct {
	name   string // in the bucket
	secret []byte
}

// NewKey returns the key that a caller sent. What is stored under it can be
// read only by who knows what the caller authenticates with.
func NewKey(caller, credential, key string) Key {
	k := Key{secret: derive([]byte(credential), caller+"\x00"+key, "carillon idempotency")}
	k.name = hex.EncodeToString(k.digest("name", nil)[:16])
	return k
}

// derive makes 32 bytes out of a secret, HKDF of RFC 5869.
func derive(secret []byte, salt, purpose string) []byte {
	b, err := hkdf.Key(sha256.New, secret, []byte(salt), purpose, sha256.Size)
	if err != nil {
		panic(err) // only for lengths that HKDF can't make
	}
	return b
}

// Body returns the hash that tells requests' bodies apart.
func (k Key) Body() hash.Hash { return hmac.New(sha256.New, derive(k.secret, "", "body")) }

func (k Key) digest(purpose string, b []byte) []byte {
	h := hmac.New(sha256.New, derive(k.secret, "", purpose))
	h.Write(b)
	return h.Sum(nil)
}

func same(a, b []byte) bool { return hmac.Equal(a, b) }

// aead seals with a random nonce: a key seals a handful of answers at most.
func (k Key) aead() cipher.AEAD {
	block, err := aes.NewCipher(derive(k.secret, "", "answer"))
	if err != nil {
		panic(err) // only for keys of another length
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for other ciphers
	}
	return a
}

func (k Key) seal(plain []byte) []byte {
	return k.aead().Seal(nil, nil, plain, nil) //nolint:gosec // the cipher draws the nonce itself
}

func (k Key) open(sealed []byte) ([]byte, error) { return k.aead().Open(nil, nil, sealed, nil) }

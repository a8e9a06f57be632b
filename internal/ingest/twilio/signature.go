package twilio

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Twilio signs so; a collision does not forge an HMAC
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"

	"github.com/carillon-dev/carillon/internal/secret"
)

// signed tells whether one of the secrets signed what stands behind an address:
// HMAC-SHA1 over the whole address and then each field's name and values, in
// the order of the names, in Base64 (Twilio's security page). Of values that
// come twice Twilio signs one.
func signed(secrets []secret.Text, address, signature string, fields url.Values) bool {
	given, err := base64.StdEncoding.Strict().DecodeString(signature) // strict: one signature has one spelling
	if err != nil || len(given) != sha1.Size {
		return false
	}
	behind := flat(fields)
	ok := false
	for _, s := range secrets {
		for _, a := range spellings(address) {
			mac := hmac.New(sha1.New, []byte(s))
			mac.Write([]byte(a))
			mac.Write(behind)
			ok = hmac.Equal(mac.Sum(nil), given) || ok // every one is tried, so that the time tells nothing
		}
	}
	return ok
}

// flat writes fields as they are signed.
func flat(fields url.Values) []byte {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	var b []byte
	for _, name := range names {
		values := slices.Clone(fields[name])
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			b = append(append(b, name...), v...)
		}
	}
	return b
}

// spellings are the addresses that may have been signed: with its port and
// without, since Twilio does one or the other.
func spellings(address string) []string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return []string{address}
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, path := rest[:end], rest[end:]
	if at := strings.LastIndexByte(host, ':'); at > strings.LastIndexByte(host, ']') {
		return []string{address, scheme + "://" + host[:at] + path}
	}
	port := ":443"
	if scheme == "http" {
		port = ":80"
	}
	return []string{address, scheme + "://" + host + port + path}
}

// hashed tells whether the address, which is signed, names the body's hash: so
// Twilio signs a body that is no form.
func hashed(address string, body []byte) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	given, err := hex.DecodeString(u.Query().Get("bodySHA256"))
	sum := sha256.Sum256(body)
	return err == nil && hmac.Equal(given, sum[:])
}

// digest tells bodies apart that have no name of their own.
func digest(fields url.Values) string {
	sum := sha256.Sum256(flat(fields))
	return hex.EncodeToString(sum[:16])
}

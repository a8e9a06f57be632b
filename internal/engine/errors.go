package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
)

// isTimeout reports whether err means that nobody answered in time.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &ne) && ne.Timeout()
}

// isTLS reports whether err is about certificates, ours or theirs.
func isTLS(err error) bool {
	var unverified *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &unverified) || errors.As(err, &record) || errors.As(err, &alert) || strings.Contains(err.Error(), "remote error: tls:")
}

// cause strips what would repeat a place the caller already names, and a URL,
// which may hold a password, and keeps the rest on one line.
func cause(err error) error {
	var pe *os.PathError
	var ue *url.Error
	switch {
	case errors.As(err, &pe):
		return pe.Err
	case errors.As(err, &ue):
		return errors.New("malformed URL")
	case strings.ContainsAny(err.Error(), "\r\n"):
		return errors.New(oneLine(err.Error()))
	}
	return err
}

// oneLine joins the lines of text with spaces.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Package client calls Carillon's HTTP API. It holds every type that crosses
// the wire, which the server encodes too, so that the two can't drift apart.
//
// It decides nothing, retries nothing and logs nothing: one method is one
// request. Its invariant: whatever the server refused comes back as a
// *Problem, and a list that was cut short ends with an error, never silently.
package client

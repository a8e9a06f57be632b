// Package schema is the JSON Schema of Flow documents, for editors and for
// whoever writes flows by a program. It is made of the types of package flow
// and their comments; nothing here reads a document.
//
// Invariant: it refuses no document that applying would take, but for fields
// that are written out and empty. What only applying can see, such as whether a
// sender is defined, it lets pass.
package schema

import _ "embed"

//go:embed flow.json
var document []byte

// Flow returns the schema, draft 7, as JSON.
func Flow() []byte { return document }

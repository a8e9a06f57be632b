// Package cli is the operator's command line: the tree of commands, what they
// ask of a server by way of pkg/client, and how the answers read. No rule of
// messaging lives here, and nothing but `carillon dev` and `carillon sandbox`
// serves.
//
// Its invariant: data goes to standard output and everything else to standard
// error; with --json standard output holds JSON alone, one document, or one
// line per record of a list. A command ends with 0, with 1 and one line that
// says what was refused or failed, or with 2 where it was called wrongly; one
// that was interrupted ends with 128 and the number of the signal.
package cli

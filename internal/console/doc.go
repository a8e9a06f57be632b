// Package console draws for people: numbers with separators, tables that fit
// the terminal, bars, and lines that are redrawn in place. It knows nothing
// of what it draws, it reads nothing, and it never writes to anything but the
// writer that it was given.
//
// Its invariant: what is drawn is never wider than the terminal, except for
// columns that are marked Whole, and no text from outside can move the cursor
// or change colours.
package console

// Package arch holds no code, only tests of the tree as a whole: which way
// imports point, which rooms stay free of I/O, that no package has an init
// function or state of its own, that a test produces every reason, and that
// docs/states.md draws the tables that the code has. Its failures name the file and the reason of the rule.
package arch

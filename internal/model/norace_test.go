//go:build !race

package model_test

// raced tells whether the race detector watches.
const raced = false

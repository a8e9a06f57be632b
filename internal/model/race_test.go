//go:build race

package model_test

// raced tells whether the race detector watches, under which everything takes
// ten times as long.
const raced = true

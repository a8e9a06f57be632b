// Package e2e runs the real binary against real engines and a platform with
// books of its own, breaks things in the middle, and compares contact by
// contact what the platform got with what Carillon says. It holds tests only.
package e2e

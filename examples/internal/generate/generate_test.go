package main

import (
	"bytes"
	"os"
	"testing"
)

func TestCommittedFileIsCurrent(t *testing.T) {
	var want bytes.Buffer
	write(&want)
	got, err := os.ReadFile("../../contacts.csv")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("examples/contacts.csv is not what the generator writes: make generate")
	}
}

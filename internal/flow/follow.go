package flow

// Changed takes in that a contact is another now: a trigger by label, segment
// or date may begin a run. seq is the change's place in the facts.
func (p *Program) Changed(id ID, old *Run, m *Memory, ids []Identity, seq uint64, w World) (Result, error) {
	return Result{Run: old, Memory: m}, nil
}

// Moved takes a run of an earlier version over to this one where the document
// says how; it reports false where it does not, and the run stays where it is.
func (p *Program) Moved(id ID, r Run, from *Program, w World) (Result, bool) { return Result{}, false }

package model

// Mistake is one thing that Carillon could do wrong. Planted in a world, it
// must break a promise in some history: what no history finds, no history
// guards against.
type Mistake string

// The mistakes, each in what it does.
const (
	None             Mistake = ""
	SendsUnclaimed   Mistake = "sends without a claim"
	SkipsRecheck     Mistake = "sends by what it saw before its claim"
	SendsBlind       Mistake = "sends when it can't see"
	SendsLapsed      Mistake = "sends by a claim that has lapsed"
	RetriesUnknown   Mistake = "tries again when an answer was lost"
	LapseRetries     Mistake = "takes a claim that lapsed for one that never was"
	IgnoresFence     Mistake = "claims whatever the task's sequence"
	LateOverwrites   Mistake = "writes a late outcome over what is there"
	LateOfAnother    Mistake = "moves on what became unknown by another's claim"
	AnswersKept      Mistake = "answers an opt-out that is not in force"
	AnswersOpen      Mistake = "answers an opt-out with a claim open"
	StopsOpen        Mistake = "answers a pause with a claim open"
	TrustsEcho       Mistake = "takes the echo of an earlier attempt for one of this"
	RedrivesAnything Mistake = "redrives what is no dead letter"
	DropsQuietly     Mistake = "drops what it refuses"
	NamesNoReason    Mistake = "refuses without a reason"
	ForgetsLost      Mistake = "releases nothing again that the queue lost"
	CountsLostRaces  Mistake = "counts records that were never written"
	LeavesClaims     Mistake = "leaves a claim of a closed source without an outcome"
)

// Mistakes returns all that can be planted.
func Mistakes() []Mistake {
	return []Mistake{
		SendsUnclaimed, SkipsRecheck, SendsBlind, SendsLapsed, RetriesUnknown, LapseRetries, IgnoresFence, LateOverwrites, LateOfAnother,
		AnswersKept, AnswersOpen, StopsOpen, TrustsEcho, RedrivesAnything, DropsQuietly, NamesNoReason, ForgetsLost, CountsLostRaces, LeavesClaims,
	}
}

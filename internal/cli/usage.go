package cli

// usageError is a command called wrongly: exit code 2, where a refusal or
// failure is 1.
type usageError struct{ error }

// Unwrap gives the error that says what was wrong.
func (e usageError) Unwrap() error { return e.error }

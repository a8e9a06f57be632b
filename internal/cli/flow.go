package cli

import "github.com/spf13/cobra"

func newFlowCommand(s *session) *cobra.Command {
	return group("flow", "Automations, and their runs", newRehearseCommand(s))
}

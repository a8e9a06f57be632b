package cli

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carillon-dev/carillon/internal/console"
	"github.com/carillon-dev/carillon/pkg/client"
)

const tokenHelp = `The tokens of the API. Each has a role, and perhaps a scope of senders:

  viewer    sees everything but tokens
  operator  moves broadcasts, dead letters, contacts, opt-outs and senders too,
            and applies Broadcast documents
  admin     applies Sender documents too, and says who may do what

What is out of its scope looks to a token as if it did not exist. The token of
the environment, or of the file that a local server leaves, is an admin of
everything, called root; it is not in the list and can't be revoked here.`

func newTokenCommand(s *session) *cobra.Command {
	cmd := group("token", "Who may call the API, and do what", newTokenCreateCommand(s), newTokenListCommand(s), newTokenRevokeCommand(s))
	cmd.Long = tokenHelp
	return cmd
}

func newTokenCreateCommand(s *session) *cobra.Command {
	var r client.TokenRequest
	var expires string
	cmd := &cobra.Command{
		Use:   "create --name NAME --role ROLE",
		Short: "Make a token, which may do no more than the one you use",
		Long: "Make a token, which may do no more than the one you use. Standard output gets the\n" +
			"token and nothing else. It is kept hashed, so that it can't be shown again.",
		Example: "  carillon token create --name \"till in the shop\" --role operator --sender bakery --expires 90d",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, f := range []struct{ flag, value string }{{"name", r.Name}, {"role", r.Role}} {
				if err := needed(cmd, f.flag, f.value); err != nil {
					return err
				}
			}
			err := oneOf("role", r.Role, client.RoleViewer, client.RoleOperator, client.RoleAdmin)
			if err == nil {
				r.Expires, err = parseFuture("expires", expires, time.Now())
			}
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			got, err := c.CreateToken(cmd.Context(), r)
			if err != nil {
				return err
			}
			return s.tokenCreated(got)
		},
	}
	cmd.Flags().StringVar(&r.Name, "name", "", "what or whom it is for, in words; needed")
	cmd.Flags().StringVar(&r.Role, "role", "", "viewer, operator or admin; needed")
	cmd.Flags().StringArrayVar(&r.Senders, "sender", nil, "only for sender `ID`; may be given again; left out: for all")
	cmd.Flags().StringVar(&expires, "expires", "", "good until `TIME`: a day, RFC 3339, or how long, such as 12h or 90d; left out: until revoked")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{client.RoleViewer, client.RoleOperator, client.RoleAdmin}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("sender", completion(s, senderIDs))
	return cmd
}

func (s *session) tokenCreated(got client.CreatedToken) error {
	if s.json {
		return s.writeJSON(got)
	}
	fmt.Fprintf(s.err, "token %s: %s of %s, %s; it is shown this once\n", got.ID, got.Role, scopeOf(got.Token), tokenState(got.Token, time.Now()))
	_, err := fmt.Fprintln(s.out, string(got.Text))
	return err
}

func newTokenListCommand(s *session) *cobra.Command {
	return listAll(s, "All tokens that yours may know of, without their secrets", (*client.Client).Tokens, func(t *console.Terminal, list iter.Seq2[client.Token, error]) error {
		return listTokens(t, list, time.Now())
	})
}

func listTokens(t *console.Terminal, list iter.Seq2[client.Token, error], now time.Time) error {
	tab := console.NewTable(t, console.Column{Title: "TOKEN", Whole: true}, console.Column{Title: "ROLE", Whole: true},
		console.Column{Title: "STATE", Whole: true}, console.Column{Title: "NAME"}, console.Column{Title: "SENDERS"})
	return tabulate(tab, list, func(k client.Token) []string {
		return []string{k.ID, k.Role, tokenState(k, now), k.Name, scopeOf(k)}
	})
}

func scopeOf(k client.Token) string {
	if len(k.Senders) == 0 {
		return "all senders"
	}
	return strings.Join(k.Senders, ", ")
}

// tokenState says what a token is good for at a moment.
func tokenState(k client.Token, now time.Time) string {
	const day = "2006-01-02"
	switch {
	case !k.Revoked.IsZero():
		return "revoked " + k.Revoked.UTC().Format(day)
	case k.Expires.IsZero():
		return "until revoked"
	case !now.Before(k.Expires):
		return "expired " + k.Expires.UTC().Format(day)
	}
	return "until " + k.Expires.UTC().Format("2006-01-02 15:04Z")
}

func newTokenRevokeCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "End a token; everywhere within seconds", Args: exactly("ID"), ValidArgsFunction: completion(s, tokenIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			got, err := c.RevokeToken(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if got.Self {
				fmt.Fprintln(s.err, "it is the token that you used: the next command needs another")
			}
			if s.json {
				return s.writeJSON(got)
			}
			_, err = fmt.Fprintf(s.out, "token %s (%s) is revoked\n", got.ID, got.Name)
			return err
		},
	}
}

// tokenIDs offers what can still be revoked.
func tokenIDs(ctx context.Context, c *client.Client) ([]string, error) {
	var ids []string
	for k, err := range c.Tokens(ctx) {
		if err != nil {
			return nil, err
		}
		if k.Revoked.IsZero() {
			ids = append(ids, k.ID+"\t"+k.Role+", "+k.Name)
		}
	}
	return ids, nil
}

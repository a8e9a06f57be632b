package role

import (
	"fmt"
	"strings"

	"github.com/carillon-dev/carillon/internal/subject"
)

// Document writes the page about what each role needs, for an installation
// without a prefix. sentinel are the rules of Sentinel's user.
func Document(sentinel string) string {
	var b strings.Builder
	b.WriteString(`# Permissions

<!-- Generated from internal/role; make generate writes it anew. -->

What each kind of process needs to be allowed in NATS and Redis. Everything else may be denied: a test runs a broadcast from its documents to its
audit by users who may do only this, and sees what they may not refused. ` + "`carillon dev`" + ` on engines of others does what both do: it needs both, and the inbox of the scheduler.

These are the names of an installation without a prefix. With ` + "`CARILLON_PREFIX=acme`" + ` subjects begin with ` + "`acme.`" + `, names of streams, buckets and
inboxes with ` + "`acme_`" + ` (` + "`KV_acme_DEFS`, `_INBOX_acme_worker`" + `), keys with ` + "`{acme}:`" + ` and queues with ` + "`acme-`" + `.

## NATS

Give every installation an account of its own: a subject is matched word by word, so that the ledger's streams, of which a new one comes
every month, can only be granted together with all streams of the account. Every role gets the answers to its requests under a prefix of
its own, since whoever may subscribe to ` + "`_INBOX.>`" + ` reads everybody's.

None of them may change, purge or delete a stream or a message of one; that is for an operator, with a user of his own. A worker can't
create streams either, nor write definitions, nor read streams as a whole. It can read single records of every stream of the account, those
of ` + "`KV_ACCESS` (tokens' hashes), `KV_IDEMPOTENCY` (answers, sealed by the caller's token) and `JOURNAL`" + ` among them: ` + "`$JS.API.STREAM.MSG.GET.*`" + ` asks for a stream by one word,
and the ledger's, ` + "`LEDGER_202611_0`" + `, is another every month, so that no narrower subject would do. The reader is for people with a tool: it reads all, contacts'
addresses among it, and changes nothing (` + "`nats --inbox-prefix _INBOX_reader`" + `).

`)
	n := subject.Names{}
	for _, r := range All() {
		s := r.NATS(n)
		fmt.Fprintf(&b, "### NATS: %s\n\n| may | subject | for |\n|---|---|---|\n", r)
		table(&b, "publish", s.Publish)
		table(&b, "subscribe", s.Subscribe)
		b.WriteString("\n")
	}
	b.WriteString(`## Redis

As rules of a user's ACL, in this order. In parentheses stand selectors, which came with Redis 7: with them a worker can look at facts but
write none. Redis 6.2 has none; there each line in parentheses is written without them, and holds for all of the user's keys.

`)
	for _, r := range All() {
		rules := r.Redis("")
		if rules == nil {
			continue
		}
		fmt.Fprintf(&b, "### Redis: %s\n\n| rules | for |\n|---|---|\n", r)
		for _, rule := range rules {
			fmt.Fprintf(&b, "| `%s` | %s |\n", rule.Allow, rule.For)
		}
		fmt.Fprintf(&b, "\n```\nACL SETUSER %s %s on >PASSWORD\n```\n\n", r, Line(rules))
	}
	fmt.Fprintf(&b, "### Sentinel\n\nThe user in front of the host in a Sentinel's URL asks where the primary is, and hears when it moves:\n\n```\nACL SETUSER carillon %s on >PASSWORD\n```\n", sentinel)
	return b.String()
}

func table(b *strings.Builder, what string, rules []Rule) {
	for _, r := range rules {
		fmt.Fprintf(b, "| %s | `%s` | %s |\n", what, r.Allow, r.For)
	}
}

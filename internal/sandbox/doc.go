// Package sandbox is a stand-in for Meta's Send API, for Messenger and
// Instagram: it answers real HTTP, keeps its own books of who wrote when and
// who wants no messages, enforces the platform's rules by its own code, and
// breaks on demand the way a real platform breaks. It is what the rest of the
// program is checked against, so it shares no code with it: it imports nothing
// else of this module, it never asks the caller what is allowed, and it calls
// nobody but the webhooks that a tester names. Its invariant: every call that
// was read to its end is in exactly one count (accepted, acted, refused,
// dropped or failed), and every accepted message can be listed.
//
// # The platform's side
//
//	POST [/vN.N]/{account}/messages    one send; {account} may be "me" for a bound token
//	GET  [/vN.N]/{account}/custom_labels   and /{psid}/custom_labels: fields, limit, after; {"data":[…],"paging":{…}}
//	POST [/vN.N]/                      batch=[{"method","relative_url","body"},…], up to 50
//
// Bodies are JSON, urlencoded or multipart forms (nested fields as JSON text).
// The token comes as a Bearer header or as access_token in query or body;
// appsecret_proof is checked for accounts that have an app secret. A message
// is judged at the moment its call arrived, which is before its body is read.
//
//	POST   /2010-04-01/Accounts/{Sid}/Messages.json   one text message, as Twilio takes it
//
// A text message is a form (To, From or MessagingServiceSid, Body,
// StatusCallback) with the account's sid and token as basic auth. In the books
// it is of the number or service, whose channel is sms: named so, or beginning
// with + or MG. Such an account has no window; a STOP or START that stands alone
// is acted on at once, as Twilio does, and refused with 21610 from then on. What
// became of it is told to its StatusCallback, signed with the token that came
// with it; what people write is told to the account's webhooks, signed with
// their app_secret. In lists a text message has the id of its acceptance, not
// its sid, and the job that its callback names as metadata.
//
// An account that nobody declared is a Messenger one that takes any token. A
// person nobody told of is taken as one who wrote just now, or is unknown
// where Options.Strict is set. People are addressed by recipient.id; a
// comment_id, post_id or one_time_notif_token serves once, and is listed as
// person "comment_id:…" and so on. One that was told of (below) serves for 7
// days, a token for 365, and its answer names the person. An opt-out of
// marketing alone, and a stop word in a message, are noted but not enforced:
// the platform can't tell what promotes, and does not read along. Whoever
// writes on to a person who said STOP, after that was told and answered, has
// the violation "after_stop".
//
// # The tester's side
//
// Everything under /_sandbox/ takes and gives JSON; lists are NDJSON.
//
//	POST   /_sandbox/accounts   {"account","token"?,"app_secret"?,"expired"?,"rate_per_second"?,
//	                             "channel"?: messenger|instagram,"ad_window_hours"?: 24 to 168,
//	                             "permissions"?: [human_agent, utility, news],  (absent: all)
//	                             "templates"?: ["name/language"],"no_contact_terms"?: true}
//	POST   /_sandbox/people?account=A   CSV with a header (id,last_inbound,opened_by,opted_out; other
//	                             columns are ignored) or NDJSON with the same names;
//	                             → {"loaded":n,"bad":n,"first_bad":"line 7: …"}
//	GET    /_sandbox/people?account=&person=&since=&after=&limit=
//	                            {"seq","time": last inbound,"account","person","of"?: who gave this permission,"ad_message"?,
//	                             "asked_to_stop"?,"answered"?,"opted_out"?,"opted_out_of_marketing"?,"blocked"?,"used"?,"elsewhere"?}
//	POST   /_sandbox/play       Play: {"rate","seconds","accounts"?,"seed"?,"mix"?} → {"seed","deeds"}, when it is over: people
//	                            write, react, comment, opt out and return at random, by the seed
//	POST   /_sandbox/events     Happening: {"account","person","kind"?,"at"?,"id"?,"text"?,…} → {"seq","id","told"}
//	POST   /_sandbox/inbound    the same, for what opens the window: message (if absent), postback, referral, optin,
//	                            reaction, ad_message
//	POST   /_sandbox/labels     {"account","person"?,"add"?: [name],"remove"?: [name]}
//	GET    /_sandbox/told?account=&person=&since=&after=&limit=
//	                            the newest 131,072 happenings: {"seq","time","account","person","kind","id",
//	                             "asks"?: stop|maybe_stop|start|…,"standby"?,"told","answered"?: when a webhook answered 200}
//	POST   /_sandbox/webhooks   Webhook: {"url","app_secret"?,"verify_token"?,"app_id"?,"account"?,"fields"?,"items"?,"read"?,
//	                             "late"?,"late_ms"?,"repeat"?,"reorder"?,"drop"?} → Subscription
//	GET    /_sandbox/webhooks   {"webhooks":[Subscription]}
//	DELETE /_sandbox/webhooks   ends them all
//	POST   /_sandbox/optout     {"account","person","lift"?: true}   an inbound doesn't lift it, unless it says START
//	POST   /_sandbox/block      {"account","person","lift"?: true}   an inbound lifts it
//	POST   /_sandbox/faults     {"kind","account"?,"probability"?,"count"?,"latency_ms"?}
//	GET    /_sandbox/faults     {"faults":[{"id","kind","account","probability","count","remaining","fired",…}]}
//	DELETE /_sandbox/faults     forgets them all
//	GET    /_sandbox/accepted?account=&person=&since=&after=&limit=
//	                            {"seq","time","account","person","message_id","metadata","messaging_type",
//	                             "tag"?,"text" or "text_hash","echoed"?,"delivered"?,"read"?,"read_at"?,
//	                             "batch"?,"position"?} in order of acceptance
//	GET    /_sandbox/calls?…    the same filters over the newest calls of every outcome:
//	                            {"seq","time","account","person","outcome","answered","status","code"?,"subcode"?,
//	                             "fbtrace_id"?,"violations"?,"fault"?,"metadata"?,"message_id"?,"batch"?,"position"?}
//	GET    /_sandbox/rate?account=     {"accounts":[{"account","limit","calls","peak","peak_at"}]}
//	GET    /_sandbox/summary?account=  Summary
//
// Times are RFC 3339; since is included, after (a seq) is not. text_hash is the
// first 8 bytes of the text's SHA-256 in hex.
//
// # Webhooks
//
// A webhook is verified by its token where it gives one, and is told from then
// on, signed by its app secret, what it subscribed to: happenings, and of each
// accepted message the echo at once, that it was delivered 100 ms after, and
// that some are read 400 ms after. Anything but 200 within 5 seconds is tried
// again, up to 12 times over half a minute; then the event is lost, and counted.
// By order, events come late, twice, out of order, or not on the first try.
// Whoever serves the sandbox stops it last: what still waits is told at once.
// What a webhook took in is noted: "answered" in the list of happenings,
// "echoed", "delivered" and "read" in that of the accepted messages.
//
// # Faults
//
// A fault applies to the next count calls, or to each call with a
// probability, or to each with a probability until count have met it. Those
// of the first group concern an HTTP request, those of the second one message:
//
//	latency            the answer comes latency_ms late (at most 30,000); joins any other fault
//	http_500           status 500 without a Graph body; nothing was accepted
//	http_500_after     the same, after accepting
//	drop_before        the connection is cut; nothing was accepted
//	drop_after         the connection is cut after accepting
//	batch_half         the second half of a batch is answered null; a coin decides each one's acceptance
//	batch_drop_after   drop_after, for batches only
//
//	rate_limit         error 613
//	token_expired      error 190/463
package sandbox

#!/bin/sh
# Ready: the Sentinel answers, over TLS, to a user that it knows.
set -eu
REDISCLI_AUTH=$(tr -d '\n' </etc/sentinel/passwords/sentinel)
export REDISCLI_AUTH
redis-cli --no-auth-warning --user sentinel --tls --cacert /etc/sentinel/tls/ca.crt -p 26379 -e ping | grep -q PONG

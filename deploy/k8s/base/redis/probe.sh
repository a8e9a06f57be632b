#!/bin/sh
# Ready: the server answers, over TLS, to a user that it knows.
set -eu
REDISCLI_AUTH=$(tr -d '\n' </etc/redis/passwords/replication)
export REDISCLI_AUTH
redis-cli --no-auth-warning --user replication --tls --cacert /etc/redis/tls/ca.crt -e ping | grep -q PONG

#!/bin/sh
# Writes a configuration that holds passwords and becomes redis-server. With
# SENTINEL set, to the host of the Sentinels, the server is one of several:
# ADVERTISE is then the name that others reach it by, and FIRST the one that is
# primary where no Sentinel knows better.
set -eu
umask 077

password() { tr -d '\n' <"/etc/redis/passwords/$1"; }
digest() { password "$1" | sha256sum | cut -d ' ' -f 1; }

conf=/run/redis/redis.conf
{
	cat /etc/redis/config/redis.conf
	echo "user default off"
	while read -r name rules; do
		echo "user $name $rules on #$(digest "$name")"
	done </etc/redis/config/rules
	echo "user replication on #$(digest replication) +ping +psync +replconf"
} >"$conf"

if [ -n "${SENTINEL:-}" ]; then
	primary=$(REDISCLI_AUTH=$(password sentinel) timeout 5 redis-cli --no-auth-warning --user sentinel --tls \
		--cacert /etc/redis/tls/ca.crt -h "$SENTINEL" -p 26379 -e sentinel get-master-addr-by-name carillon | head -n 1) || primary=
	primary=${primary:-$FIRST}
	{
		# What Sentinel's documentation lists for the servers that it watches.
		echo "user sentinel on #$(digest sentinel) &* +multi +exec +slaveof +ping +subscribe +publish +info +role +config|rewrite +client|setname +client|kill +script|kill"
		echo "masteruser replication"
		echo "masterauth $(password replication)"
		echo "replica-announce-ip $ADVERTISE"
		if [ "$primary" != "$ADVERTISE" ]; then
			echo "replicaof $primary 6379"
		fi
	} >>"$conf"
fi

exec redis-server "$conf"

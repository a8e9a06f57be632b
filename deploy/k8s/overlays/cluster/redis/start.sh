#!/bin/sh
# Writes a configuration that holds passwords and becomes a Sentinel.
# ADVERTISE is the name that others reach it by, SENTINEL the host of all of
# them, and FIRST the server that is primary where no Sentinel knows better.
set -eu
umask 077

password() { tr -d '\n' <"/etc/sentinel/passwords/$1"; }
digest() { password "$1" | sha256sum | cut -d ' ' -f 1; }

primary=$(REDISCLI_AUTH=$(password sentinel) timeout 5 redis-cli --no-auth-warning --user sentinel --tls \
	--cacert /etc/sentinel/tls/ca.crt -h "$SENTINEL" -p 26379 -e sentinel get-master-addr-by-name carillon | head -n 1) || primary=
primary=${primary:-$FIRST}

conf=/run/sentinel/sentinel.conf
{
	cat /etc/sentinel/config/sentinel.conf
	echo "user default off"
	# What a client asks a Sentinel.
	for name in scheduler worker; do
		echo "user $name on #$(digest "$name") &* +ping +hello +info +subscribe +unsubscribe +psubscribe +punsubscribe +client|setname +client|id +sentinel|get-master-addr-by-name +sentinel|sentinels +sentinel|replicas +sentinel|ckquorum"
	done
	echo "user sentinel on #$(digest sentinel) ~* &* +@all"
	# The same one after a restart, lest the others count two.
	echo "sentinel myid $(printf %s "$ADVERTISE" | sha1sum | cut -d ' ' -f 1)"
	echo "sentinel announce-ip $ADVERTISE"
	echo "sentinel sentinel-user sentinel"
	echo "sentinel sentinel-pass $(password sentinel)"
	echo "sentinel monitor carillon $primary 6379 2"
	echo "sentinel auth-user carillon sentinel"
	echo "sentinel auth-pass carillon $(password sentinel)"
	echo "sentinel down-after-milliseconds carillon 5000"
	echo "sentinel failover-timeout carillon 15000"
	# Replicas serve nobody, so all may be fed at once.
	echo "sentinel parallel-syncs carillon 2"
} >"$conf"

exec redis-server "$conf" --sentinel

#!/bin/bash
# Starts a bridge: waits for its advertised address, assembles its configuration, hands over to the image's init.
set -u
addresses=${ADDRESSES_DIR:-/etc/jitsictl/addresses}
wiring=${WIRING_FILE:-/etc/jitsictl/wiring/custom-jvb.conf}
custom=${CUSTOM_FILE:-/etc/jitsictl/custom/custom-jvb.conf}
config=${CONFIG_DIR:-/config}
init=${INIT:-/init}
pause=${WAIT_INTERVAL:-2}
patience=${FALLBACK_AFTER:-20}
key=${ADDRESS_KEY:-${NODE_NAME:-}}

# As process 1 we would not hear a SIGTERM while waiting, and the pod's grace is hours.
trap 'exit 143' TERM INT

if [ ! -f "$wiring" ]; then
  echo "jitsictl: $wiring is missing: the bridge would know no XMPP server"
  exit 1
fi

# The list is a mounted ConfigMap: a line for a fresh node appears about a minute after it was written. What the user
# set stands.
if [ -n "$key" ] && [ -z "${JVB_ADVERTISE_IPS:-}" ]; then
  told=
  until [ -s "$addresses/$key" ]; do
    if [ -n "${ADVERTISE_FALLBACK:-}" ] && [ "$SECONDS" -ge "$patience" ]; then break; fi
    if [ -z "$told" ]; then
      echo "jitsictl: waiting for the public address of $key"
      told=1
    fi
    sleep "$pause" &
    wait $!
  done
  if [ -s "$addresses/$key" ]; then
    JVB_ADVERTISE_IPS=$(tr -d ' \n' <"$addresses/$key")
    export JVB_ADVERTISE_IPS
  fi
fi
if [ -z "${JVB_ADVERTISE_IPS:-}" ] && [ -n "${ADVERTISE_FALLBACK:-}" ]; then
  echo "jitsictl: no public address is known for $key, falling back to $ADVERTISE_FALLBACK"
  export JVB_ADVERTISE_IPS=$ADVERTISE_FALLBACK
fi

# The user's part first: where both set a key, the wiring wins.
{
  if [ -f "$custom" ]; then cat "$custom"; echo; fi
  cat "$wiring"
} >"$config/custom-jvb.conf" || exit 1
exec "$init"

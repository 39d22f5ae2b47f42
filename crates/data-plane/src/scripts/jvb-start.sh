#!/bin/bash
# Starts a bridge: gathers its configuration, waits for the address that it is to advertise, then hands over to the image.
#
# JITSICTL_ADDRESS_KEY       the bridge's line in the list of addresses; its node's name if unset
# JITSICTL_ADDRESS_FALLBACK  what to advertise when the line does not come; unset: wait for it
set -u

addresses=/etc/jitsictl/addresses
wiring=/etc/jitsictl/wiring/custom-jvb.conf
custom=/etc/jitsictl/custom/custom-jvb.conf

# The user's own settings come first, so that the XMPP servers hold whatever those say.
{
    [ -f "$custom" ] && cat "$custom" && echo
    cat "$wiring"
} > /config/custom-jvb.conf

key="${JITSICTL_ADDRESS_KEY:-${NODE_NAME:-}}"
fallback="${JITSICTL_ADDRESS_FALLBACK:-}"
waited=0
while [ -z "${JVB_ADVERTISE_IPS:-}" ]; do
    if [ -s "$addresses/$key" ]; then
        JVB_ADVERTISE_IPS="$(cat "$addresses/$key")"
    elif [ -n "$fallback" ] && [ "$waited" -ge 20 ]; then
        echo "jitsictl: no address for $key after $waited s: advertising $fallback"
        JVB_ADVERTISE_IPS="$fallback"
    else
        [ $((waited % 30)) -eq 0 ] && echo "jitsictl: waiting for the address of $key"
        sleep 2
        waited=$((waited + 2))
    fi
done
export JVB_ADVERTISE_IPS

exec /init

#!/bin/bash
# Lets a bridge empty before it stops: no new conferences, then wait until nobody is left.
#
# JITSICTL_DRAIN_DEADLINE  seconds after which it stops nevertheless
set -u

rest=http://127.0.0.1:8080/colibri
deadline=$((SECONDS + ${JITSICTL_DRAIN_DEADLINE:-270}))

say() { echo "jitsictl: $*" > /proc/1/fd/1 2> /dev/null; }
drain() { curl -fsS --max-time 5 -o /dev/null -X POST "$rest/drain/enable" 2> /dev/null; }

say "draining"
drain
# Other parts of the fleet hear of it with the bridge's next presence.
sleep 10
empty=0
refused=0
while [ "$SECONDS" -lt "$deadline" ]; do
    # Again each time: a bridge that restarted in between has forgotten it.
    drain
    if stats="$(curl -fsS --max-time 5 "$rest/stats" 2> /dev/null)"; then
        refused=0
        left="$(jq -r '(.local_endpoints // 0) + (.conferences // 0)' <<< "$stats" 2> /dev/null)"
        if [ "$left" = 0 ]; then empty=$((empty + 1)); else empty=0; fi
        if [ "$empty" -ge 3 ]; then
            say "empty: stopping"
            exit 0
        fi
    else
        # No answer is not "empty"; only a bridge that stays silent has nobody on it any more.
        empty=0
        refused=$((refused + 1))
        if [ "$refused" -ge 12 ]; then
            say "no answer for a minute: stopping"
            exit 0
        fi
    fi
    sleep 5
done
say "not empty in time: stopping"
exit 0

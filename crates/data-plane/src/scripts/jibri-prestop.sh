#!/bin/bash
# Lets a recorder finish its recording and upload before it stops.
#
# JITSICTL_DRAIN_DEADLINE  seconds after which it stops nevertheless
set -u

deadline=$((SECONDS + ${JITSICTL_DRAIN_DEADLINE:-270}))

say() { echo "jitsictl: $*" > /proc/1/fd/1 2> /dev/null; }

say "finishing"
curl -fsS --max-time 5 -o /dev/null -X POST http://127.0.0.1:3333/jibri/api/internal/v1.0/gracefulShutdown 2> /dev/null
refused=0
while [ "$SECONDS" -lt "$deadline" ] && [ "$refused" -lt 3 ]; do
    if health="$(curl -fsS --max-time 5 http://127.0.0.1:2222/jibri/api/v1.0/health 2> /dev/null)"; then
        refused=0
        state="$(jq -r '.status.busyStatus // empty' <<< "$health" 2> /dev/null)"
        [ -n "$state" ] && [ "$state" != BUSY ] && break
    else
        refused=$((refused + 1))
    fi
    sleep 5
done
say "stopping"
# The images' own way out leaves the container hanging; this one ends it. Older images lack it: SIGTERM follows.
[ -x /run/s6/basedir/bin/halt ] && /run/s6/basedir/bin/halt
exit 0

#!/bin/bash
# Before a recorder stops: it takes no more work and ends its recording and upload. Then the container's init is halted
# by hand, because the image's own way out leaves it running.
set -u
health=${JIBRI_HEALTH_URL:-http://127.0.0.1:2222/jibri/api/v1.0/health}
shutdown=${JIBRI_SHUTDOWN_URL:-http://127.0.0.1:3333/jibri/api/internal/v1.0/gracefulShutdown}
deadline=${DRAIN_DEADLINE:-14370}
pause=${DRAIN_INTERVAL:-5}
patience=${DRAIN_REFUSALS:-3}
halt=${HALT:-/run/s6/basedir/bin/halt}
log=${LOG:-/proc/1/fd/1}

say() { echo "jitsictl: $*" >>"$log" 2>/dev/null || true; }

say "graceful shutdown before stop"
curl -sf --max-time 5 -X POST -o /dev/null "$shutdown" 2>/dev/null || true
refusals=0
while [ "$SECONDS" -lt "$deadline" ]; do
  answer=$(curl -sf --max-time 5 "$health" 2>/dev/null)
  code=$?
  busy=$(printf %s "$answer" | jq -er '.status.busyStatus' 2>/dev/null) || busy=
  # 7: nobody listens any more. Anything else without an answer is unknown and is asked again.
  if [ "$code" -eq 7 ]; then
    refusals=$((refusals + 1))
    if [ "$refusals" -ge "$patience" ]; then break; fi
  else
    refusals=0
    if [ -n "$busy" ] && [ "$busy" != BUSY ]; then break; fi
  fi
  sleep "$pause"
done
say "stop"
"$halt" >>"$log" 2>&1 || true
exit 0

#!/bin/bash
# Before a bridge stops: drains it and waits until nobody is on it. Always returns 0; the kubelet's SIGTERM ends it.
set -u
url=${JVB_URL:-http://127.0.0.1:8080}
deadline=${DRAIN_DEADLINE:-14370}
settle=${DRAIN_SETTLE:-10}
pause=${DRAIN_INTERVAL:-5}
patience=${DRAIN_REFUSALS:-12}
log=${LOG:-/proc/1/fd/1}

say() { echo "jitsictl: $*" >>"$log" 2>/dev/null || true; }
ask() { curl -sf --max-time 5 "$url$1" 2>/dev/null; }
drain() { curl -sf --max-time 5 -X POST -d '' -o /dev/null "$url/colibri/drain/enable" 2>/dev/null; }
late() { [ "$SECONDS" -ge "$deadline" ]; }

say "drain before stop"
refusals=0
until drain && [ "$(ask /colibri/drain | jq -r .drain 2>/dev/null)" = true ]; do
  refusals=$((refusals + 1))
  if [ "$refusals" -ge "$patience" ]; then say "the bridge does not answer: stop"; exit 0; fi
  if late; then say "out of time: stop"; exit 0; fi
  sleep "$pause"
done
# Until every jicofo has seen it, new conferences may still come.
sleep "$settle"

empty=0
refusals=0
until [ "$empty" -ge 3 ]; do
  if late; then say "out of time with people on it: stop"; exit 0; fi
  # A bridge that crashed and came back has forgotten its drain.
  drain || true
  # No answer, or one without these numbers, is unknown: not empty.
  people=$(ask /colibri/stats | jq -er '.local_endpoints + .conferences | numbers' 2>/dev/null) || people=
  case $people in
    '') empty=0; refusals=$((refusals + 1)) ;;
    0) empty=$((empty + 1)); refusals=0 ;;
    *) empty=0; refusals=0 ;;
  esac
  if [ "$refusals" -ge "$patience" ]; then say "the bridge does not answer: stop"; exit 0; fi
  if [ "$empty" -lt 3 ]; then sleep "$pause"; fi
done
say "empty: stop"
exit 0

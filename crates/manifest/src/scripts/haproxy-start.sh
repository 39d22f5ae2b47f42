#!/bin/sh
# Runs haproxy and reloads it when its file changes to something valid. Old workers finish their connections.
set -u
file=${CONFIG_FILE:-/usr/local/etc/haproxy/fleet/haproxy.cfg}
pause=${WATCH_INTERVAL:-5}
haproxy=${HAPROXY:-haproxy}

sum() { cksum <"$file" 2>/dev/null; }

seen=$(sum)
"$haproxy" -W -db -f "$file" &
master=$!
# Soft: open websockets go on until the grace period ends.
# USR1 is what the official image asks to be stopped with.
trap 'kill -USR1 "$master" 2>/dev/null' TERM INT USR1

while kill -0 "$master" 2>/dev/null; do
  # In the background, so that a signal is not kept waiting.
  sleep "$pause" &
  wait $!
  now=$(sum)
  if [ -z "$now" ] || [ "$now" = "$seen" ]; then continue; fi
  seen=$now
  if "$haproxy" -c -q -f "$file"; then
    echo "jitsictl: the configuration changed: reload"
    kill -USR2 "$master"
  else
    echo "jitsictl: the configuration changed and is not valid: the old one stays"
  fi
done
wait "$master"

#!/bin/bash
# Fails only when the recorder did its one job and waits to be started anew. Busy, unhealthy or silent is not a reason to
# kill a recording.
url=${JIBRI_HEALTH_URL:-http://127.0.0.1:2222/jibri/api/v1.0/health}
busy=$(curl -sf --max-time 5 "$url" 2>/dev/null | jq -r .status.busyStatus 2>/dev/null)
[ "$busy" != EXPIRED ]

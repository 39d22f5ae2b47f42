# Starts haproxy and reloads it when its configuration changes. A configuration that haproxy refuses is left alone: the
# proxy goes on with the one that it has.
config=/usr/local/etc/haproxy/fleet/haproxy.cfg

follow() {
  seen=$(cksum < "$config")
  while sleep 5; do
    now=$(cksum < "$config") || continue
    [ "$now" = "$seen" ] && continue
    seen=$now
    if haproxy -c -q -f "$config"; then
      kill -USR2 1
      echo "[start] the configuration has changed: reloaded"
    else
      echo "[start] the new configuration is refused: the old one stays"
    fi
  done
}

follow &
exec haproxy -W -db -L "$HOSTNAME" -f "$config"

# Starts prosody, and beside it keeps creating the accounts of a mounted Secret: file name = user, content = password.
# An account that exists is left as it is. $1 is prosody's configuration, $2 the mounted folder, the rest what to start.
config=$1
users=$2
shift 2

create_users() {
  declare -A done_users
  local file user said
  until curl -fsS -o /dev/null --max-time 5 http://127.0.0.1:5280/health 2>/dev/null; do sleep 2; done
  while :; do
    for file in "$users"/*; do
      user=${file##*/}
      if [ ! -f "$file" ] || [ -n "${done_users[$user]:-}" ]; then continue; fi
      if said=$(prosodyctl --config "$config" shell user create "$user@$XMPP_DOMAIN" "$(cat "$file")" 2>&1); then
        done_users[$user]=created
        echo "[users] created $user"
      elif [[ $said == *exists* ]]; then
        done_users[$user]=there
      else
        echo "[users] $user could not be created, tried again in a minute"
      fi
    done
    sleep 60
  done
}

create_users &
exec "$@"

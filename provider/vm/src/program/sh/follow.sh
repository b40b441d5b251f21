
# Does: follows the worker of a run: passes on its journal, hears the caller, and restarts a worker that died.
# Needs: base emit jwt launch token
# Gives: follow is_decided is_recalled last_journaled_step is_followed
# Owns: follower, here, token, came and refused in the run's directory
# Undo: they go with the directory; the worker removes the token when the run ends
follow() {
  rm -f "$run_dir/here"
  emit $$ >"$run_dir/follower"
  exec 3<"$run_dir/log" 4<&0
  read_caller <&4 &
  caller_pid=$!
  follow_restarts=0
  relay_journal
  kill "$caller_pid" 2>/dev/null
  if grep -q '^report removed' "$run_dir/log"; then
    rm -rf "$run_dir" &&
      release_lock
  fi
}
# A line that the worker is still writing comes in parts.
relay_journal() {
  relay_part=
  relay_idle=0
  while :; do
    if IFS= read -r relay_line <&3; then
      relay "$relay_part$relay_line" || return 0
      relay_part=
      relay_idle=0
    else
      relay_part=$relay_part$relay_line
      relay_idle=$((relay_idle + 1))
      watch_worker "$relay_idle" || return 0
      pause
    fi
  done
}
# relay LINE: passes it on. Fails where the caller has to hear no more.
relay() {
  case $1 in
  end) return 1 ;;
  want*)
    if is_answered || is_decided; then
      return 0
    fi
    emit "$1"
    ;;
  'report awaits')
    if is_decided; then
      return 0
    fi
    emit "$1"
    return 1
    ;;
  *) emit "$1" ;;
  esac
  return 0
}
# watch_worker READS: after so many reads without a line. Fails where the run is given up.
watch_worker() {
  if [ $(($1 % 5)) -eq 0 ]; then
    send alive
  fi
  if [ $(($1 % 100)) -eq 25 ] && ! is_worker_alive; then
    restart_worker || return 1
  fi
  return 0
}
# The worker died without reporting. Starts another one to undo the run; three times at most.
restart_worker() {
  follow_restarts=$((follow_restarts + 1))
  if [ "$follow_restarts" -gt 3 ]; then
    send report halfway "$(last_journaled_step)"
    return 1
  fi
  detach "mesh-vm-$run-again" mend
  return 0
}
# Removes the lock unless another run is there, which may wait for that very file.
release_lock() (
  exec 2>/dev/null
  exec 9>"$runs_dir/lock" || return 1
  flock -n 9 || return 1
  for other_run_dir in "$runs_dir"/*/; do
    [ ! -e "$other_run_dir" ] || return 0
  done
  rm -f "$runs_dir/lock" "$runs_dir/holder"
)
is_decided() {
  [ -e "$run_dir/commit" ] ||
    [ -e "$run_dir/revert" ] ||
    grep -qE '^(end|failed .*)$' "$run_dir/log"
}
is_recalled() {
  [ -e "$run_dir/revert" ] &&
    [ ! -e "$run_dir/commit" ]
}
last_journaled_step() { sed -n 's/^step //p' "$run_dir/log" | tail -n 1; }
is_worker_alive() {
  worker_pid=$(line_of "$run_dir/pid") &&
    grep -q "$run" "/proc/$worker_pid/cmdline" 2>/dev/null
}
# is_followed DIRECTORY: whether a session follows that run. A link that was cut silently leaves its process here alive, so
# a caller that sends heartbeats must have sent one lately.
is_followed() {
  kill -0 "$(line_of "$1/follower")" 2>/dev/null || return 1
  # The file is empty while it is written.
  heard_at=$(line_of "$1/here")
  [ -z "$heard_at" ] || [ "$(uptime)" -lt $((heard_at + HEARTBEAT_WAIT)) ]
}
# Reads what comes on standard input behind the data: heartbeats, and the token when the worker wants it.
read_caller() {
  while read -r caller_key caller_value; do
    case $caller_key in
    here) note_heartbeat 2>/dev/null ;;
    token) read_token "$caller_value" ;;
    esac
  done
}
note_heartbeat() { uptime >"$run_dir/here"; }
read_token() {
  printf %s "$1" | base64 -d >"$run_dir/token.part" || return 0
  if is_token "$run_dir/token.part" >"$run_dir/came"; then
    mv "$run_dir/token.part" "$run_dir/token"
  else
    rm -f "$run_dir/token.part"
    mv "$run_dir/came" "$run_dir/refused"
  fi
}

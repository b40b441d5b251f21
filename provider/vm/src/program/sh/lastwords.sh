
# Does: finds why the proxy did not start or become ready: its last complaints, and the hop that fails.
# Needs: base checks emit hops proxyfiles
# Gives: mark_logs journal_last_words journal_failing_hop
# Owns: sizes, cursor, tail and checks in the run's directory
# Undo: nothing to undo: it reads only
# Notes where the log of this start begins.
mark_logs() {
  for marked_log in istio.err.log istio.log; do
    stat -c %s "$LOG_DIR/$marked_log" 2>/dev/null || emit 0
  done >"$run_dir/sizes"
  journalctl -q -n 0 --show-cursor 2>/dev/null |
    sed -n 's/^-- cursor: //p' >"$run_dir/cursor"
}
# What the step printed, then the complaints of the proxy's log since the start, each once, whatever its time. Never its
# configuration, which it prints as YAML: the mesh's own secrets might be in it.
journal_last_words() {
  grep -v '^See "systemctl' "$run_dir/err" | journal_lines
  logs_since_start 2>/dev/null | list_complaints >"$run_dir/tail"
  journal_lines <"$run_dir/tail"
  if [ ! -s "$run_dir/err" ] && [ ! -s "$run_dir/tail" ]; then
    describe_unit | journal_lines
  fi
}
logs_since_start() {
  unit_journal_since_start
  for read_log in istio.err.log istio.log; do
    read -r log_size &&
      log_since "$LOG_DIR/$read_log" "$log_size"
  done <"$run_dir/sizes"
}
# Without a cursor there was no journal before.
unit_journal_since_start() {
  [ -e "$run_dir/cursor" ] || return 0
  journal_cursor=$(cat "$run_dir/cursor")
  journalctl -q -u istio.service ${journal_cursor:+--after-cursor="$journal_cursor"} -n 50 -o cat --no-pager
}
# log_since FILE SIZE: what was added to the log since it had that size; the end of it at most.
# shellcheck disable=SC2030,SC2031 # that bound is for this file alone
log_since() {
  (
    MAX_FILE_BYTES=$((1 << 62))
    read_safely "$1" tail -c "+$(($2 + 1))"
  ) | tail -c 65536
}
list_complaints() {
  awk '
    {
      text = $0
      sub(/^[^ \t]*[ \t]*/, "", text)
    }
    /\tinfo\t|COMMAND=/ || /^ *[A-Za-z_-]+:/ { next }
    tolower(text) ~ /warn|err|crit|fatal|panic|fail|denied|not found/ && !seen[text]++'
}
# How far a start is that reported no error.
describe_unit() {
  unit_state=$(systemctl show -p ActiveState,SubState istio.service | sed 's/.*=//' | tr '\n' ' ')
  unit_pid=$(systemctl show -p MainPID istio.service | sed 's/.*=//')
  unit_process=$(cat "/proc/$unit_pid/comm" 2>/dev/null || emit gone)
  emit "the log has no error; the unit istio is ${unit_state}and its process is $unit_process"
}
# Runs the checks without the proxy's rules: the rules would answer for it.
journal_failing_hop() {
  run_checks >"$run_dir/checks" 2>/dev/null
  if journal_hop_of_log; then
    journal_bad_checks ''
  else
    journal_bad_checks hop
  fi
}
journal_hop_of_log() {
  failing_hop=$(hop_of_authority "$run_dir/tail")
  if [ -z "$failing_hop" ]; then
    failing_hop=$(hop_of_log "$run_dir/tail")
  fi
  [ -n "$failing_hop" ] &&
    journal hop "$failing_hop"
}


# Does: reads the input of a session and dispatches its verb.
# Needs: base deadrun emit follow launch observe state users worker
# Gives: main call_entry
# Owns: in.* in the directory of runs: the input of a session
# Undo: a session removes its own; it becomes the run's directory where it starts a worker
read_input() {
  while read -r input_key input_value; do
    case $input_key in
    end) return 0 ;;
    '' | .* | *[!a-z0-9.-]*) return 1 ;;
    esac
    write_value "$input_value" >"$run_dir/in/$input_key" || return 1
  done
  return 1
}
# write_value VALUE: prints what it stands for, which is the text behind a `=`, or else in base64.
write_value() {
  case $1 in
  =*) printf %s "${1#=}" ;;
  *) printf %s "$1" | base64 -d ;;
  esac
}
main() {
  prepare_run_dir
  unpack_program >"$run_dir/program"
  read_input || die 'the input is incomplete or /run is full'
  run=$(field run)
  verb=$(field verb)
  dispatch
}
# A worker, a timer or a boot runs this copy with the entry to call.
unpack_program() {
  printf %s "$program" | base64 -d | gzip -dc &&
    printf '\ncall_entry "$@"\n'
}
# call_entry ENTRY WORDS…: the entries are a format. A session of another version may call them, too.
call_entry() {
  entry=$1
  shift
  case $entry in
  work) run_worker "$@" ;;
  mend) finish_dead_run "$@" ;;
  boot) finish_at_boot "$@" ;;
  resume) resume "$@" ;;
  *) die "unknown entry $entry" ;;
  esac
}
# resume VERB RUN: continues a run with the copy of this program that it left, so that nothing is sent again.
resume() {
  prepare_run_dir
  verb=$1
  run=$2
  dispatch
}
prepare_run_dir() {
  if [ "$(command -v printf)" != printf ]; then
    die 'this shell has no printf of its own: a secret would show in the process list'
  fi
  make_run_dir || die "cannot write to $runs_dir; it needs root"
  trap remove_run_dir EXIT
  trap 'exit 1' HUP INT TERM PIPE
}
make_run_dir() {
  ensure_dir "$runs_dir" &&
    run_dir=$(mktemp -d "$runs_dir/in.XXXXXX") &&
    mkdir "$run_dir/in"
}
# A run's own directory stays.
remove_run_dir() {
  case $run_dir in
  "$runs_dir"/in.*) rm -rf "$run_dir" ;;
  esac
  rmdir "$runs_dir" 2>/dev/null
}
dispatch() {
  case $run in
  *[!0-9a-f]* | '') die 'the input names no run' ;;
  esac
  check_state_dir
  # An empty line ends whatever a login profile wrote.
  emit ''
  send begin "$run"
  case $verb in
  bootstrap | result | commit) report_recording ;;
  esac
  case $verb in
  observe | check) answer ;;
  bootstrap | remove)
    launch &&
      follow
    ;;
  result | commit | revert)
    find_run &&
      follow
    ;;
  *) die "unknown verb $verb" ;;
  esac
  send end "$run"
}
report_recording() {
  if is_input_recorded; then
    send recorded
  fi
}
# The lines of an answer are long: a heartbeat must not fall into one.
answer() {
  send_heartbeats &
  heartbeats_pid=$!
  "verb_$verb" >"$run_dir/out"
  kill "$heartbeats_pid" &&
    wait "$heartbeats_pid" 2>/dev/null
  cat "$run_dir/out"
}
send_heartbeats() {
  while sleep 1 >/dev/null 2>&1; do
    send alive
  done
}

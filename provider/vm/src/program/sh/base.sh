
# Does: reads the input of a run, writes its journal, and waits.
# Needs: emit
# Gives: hook die line_of field field_lines has send send_text journal journal_text journal_lines ensure_dir pause uptime await
# Owns: log in the run's directory: the journal, which the session follows
# Undo: the directory goes when its run has ended and another one begins, or at a reboot
# Called before each step. Tests replace it.
hook() { :; }
die() {
  emit "mesh-vm: $*" >&2
  exit 1
}
# line_of FILE: prints the first line without its end, by the shell alone. Fails where there is no file.
line_of() {
  [ -e "$1" ] || return 1
  line_text=
  # A line without an end is one, too.
  IFS= read -r line_text <"$1"
  printf %s "$line_text"
}
# field KEY: prints a value of one line, as nearly all are. field_lines prints one of several.
field() { line_of "$run_dir/in/$1"; }
field_lines() { cat "$run_dir/in/$1" 2>/dev/null; }
has() { [ -e "$run_dir/in/$1" ]; }
# send KEY WORDS…: a line of the answer.
send() { emit "$*"; }
# send_text KEY TEXT: the text in base64; nothing where there is no text.
send_text() {
  if [ -n "$2" ]; then
    send "$1" "$(printf %s "$2" | encode)"
  fi
}
# journal KEY WORDS…: a line of the answer that the session passes on.
journal() { send "$@" >>"$run_dir/log"; }
# journal_text KEY TEXT: the text in base64.
journal_text() { journal "$1" "$(printf %s "$2" | encode)"; }
# Journals text for people: its last lines, bounded, without anything that looks like a token.
journal_lines() {
  sed 's/eyJ[A-Za-z0-9_-]*[.][A-Za-z0-9_.-]*/[token]/g' |
    tail -n 20 |
    cut -c 1-400 |
    while IFS= read -r journaled_line; do
      journal_text line "$journaled_line"
    done
}
# ensure_dir PATH: a directory that is there keeps its mode, which `mkdir -p` of uutils would change.
ensure_dir() {
  [ -d "$1" ] ||
    mkdir -p "$1"
}
pause() {
  sleep 0.2 2>/dev/null ||
    sleep 1
}
# Prints the seconds since boot. Waits count these: the wall clock of a fresh machine is set while they wait.
uptime() {
  read -r uptime_seconds _ </proc/uptime
  emit "${uptime_seconds%%.*}"
}
# await SECONDS COMMAND…: until the command succeeds.
await() {
  await_end=$(($(uptime) + $1))
  shift
  until "$@"; do
    [ "$(uptime)" -lt "$await_end" ] || return 1
    pause
  done
}

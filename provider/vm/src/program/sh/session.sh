
# A session: input and verbs, a worker of its own, and following it.
take() {
  while read -r key value; do
    case $key in end) return 0 ;; '' | .* | *[!a-z0-9.-]*) return 1 ;; esac
    printf %s "$value" | base64 -d >"$d/in/$key" || return 1
  done
  return 1
}
main() {
  arrive
  { printf %s "$p" | base64 -d | gzip -dc && printf '\n"$@"\n'; } >"$d/program" # a worker says what to call
  take || die 'the input is incomplete or /run is full'
  run=$(field run) verb=$(field verb)
  serve
}
# A run that was begun left this program here: to go on with it nothing has to be sent, nor waited for.
again() { arrive && verb=$1 run=$2 && serve; }
arrive() {
  [ "$(command -v printf)" = printf ] || die 'this shell has no printf of its own: a secret would show in the process list'
  { folder "$R" && d=$(mktemp -d "$R/in.XXXXXX") && mkdir "$d/in"; } || die "cannot write to $R; it needs root"
  trap leave EXIT && trap 'exit 1' HUP INT TERM PIPE
}
serve() {
  case $run in *[!0-9a-f]* | '') die 'the input names no run' ;; esac
  heed
  say '' && say "begin $run" # whatever a profile wrote before ends with the empty line
  case $verb in bootstrap | result | commit) ! recorded || say recorded ;; esac
  case $verb in
  observe | check) # its lines are long: a heartbeat must not fall into one
    (while sleep 1 >/dev/null 2>&1; do say alive; done) &
    "verb_$verb" >"$d/out"
    kill "$!" && wait "$!" 2>/dev/null; cat "$d/out" ;;
  bootstrap | remove) launch && follow ;;
  result | commit | revert) resume && follow ;;
  *) die "unknown verb $verb" ;;
  esac
  say "end $run"
}
leave() { case $d in "$R"/in.*) rm -rf "$d" ;; esac; rmdir "$R" 2>/dev/null; }
launch() {
  { mv "$d" "$R/$run" && d=$R/$run && : >"$d/log"; } || die "run $run exists already"
  detach "mesh-vm-$run" work || { log 'failed launch'; lines <"$d/launch"; log 'report reverted'; log end; }
}
# Under logind with KillUserProcesses only a unit of its own outlives the session. Plain words
# only: systemd 252 spoils quotes, dollars and semicolons when it reloads a transient unit.
detach() {
  if [ -d /run/systemd/system ]; then
    systemd-run --quiet --collect --unit="$1" --property=TimeoutStopSec=5 /bin/sh "$d/program" "$2" "$d" </dev/null >/dev/null 2>"$d/launch"
  else setsid /bin/sh "$d/program" "$2" "$d" </dev/null >/dev/null 2>&1 & fi
}
# Finds a run again: its folder, or after a reboot its journal.
resume() {
  again=
  if [ -e "$R/$run/log" ]; then
    rm -rf "$d" && d=$R/$run
    if [ "$verb" = revert ] && grep -q '^report committed' "$d/log"; then : >"$d/log"; again=1; fi
  elif [ "$(cat "$S/run/id" 2>/dev/null)" = "$run" ]; then
    : >"$d/log" # unless the boot was faster
    if mv -T "$d" "$R/$run"; then again=1; else rm -rf "$d"; fi 2>/dev/null
    d=$R/$run
  else say 'report lost'; return 1; fi
  [ "$verb" = result ] || : >"$d/$verb"
  [ -z "$again" ] || detach "mesh-vm-$run-again" mend
}
follow() {
  rm -f "$d/here"
  say $$ >"$d/follower"
  exec 3<"$d/log" 4<&0
  words <&4 &
  words=$! part='' quiet=0 mends=0
  while :; do
    if IFS= read -r text <&3; then
      text=$part$text part='' quiet=0
      case $text in
      end) break ;;
      want*) answered || decided || say "$text" ;;
      'report awaits') decided || { say "$text"; break; } ;;
      *) say "$text" ;;
      esac
      continue
    fi
    part=$part$text quiet=$((quiet + 1))
    [ $((quiet % 5)) -ne 0 ] || say alive
    # Dead without an end: killed.
    if [ $((quiet % 100)) -eq 25 ] && ! living; then revive || break; fi
    pause
  done
  kill "$words" 2>/dev/null
  if grep -q '^report removed' "$d/log"; then rm -rf "$d" && vacate; fi
}
# Starts a worker that undoes a run whose worker died; three times at most.
revive() {
  mends=$((mends + 1))
  if [ "$mends" -gt 3 ]; then
    say "report halfway $(reached)"
    return 1
  fi
  detach "mesh-vm-$run-again" mend
  return 0
}
# Takes the lock away, too, unless another run is there: it may wait for that very file.
vacate() { (exec 9>"$R/lock" && flock -n 9 && for f in "$R"/*/; do [ ! -e "$f" ] || exit 0; done && rm -f "$R/lock" "$R/holder") 2>/dev/null; }
decided() { [ -e "$d/commit" ] || [ -e "$d/revert" ] || grep -qE '^(end|failed .*)$' "$d/log"; }
recalled() { [ -e "$d/revert" ] && [ ! -e "$d/commit" ]; }
reached() { sed -n 's/^step //p' "$d/log" | tail -n 1; }
living() { pid=$(cat "$d/pid" 2>/dev/null) && grep -q "$run" "/proc/$pid/cmdline" 2>/dev/null; }
# attended FOLDER: whether somebody follows that run. A link that was cut silently leaves its process here alive, so a
# caller that says from time to time that it is there must have been heard lately.
attended() {
  kill -0 "$(cat "$1/follower")" 2>/dev/null || return 1
  # It is empty while it is written.
  heard=$(cat "$1/here" 2>/dev/null)
  [ -z "$heard" ] || [ "$(uptime)" -lt $((heard + SILENT)) ]
}
# What comes on standard input behind the data: that the caller is there, and the token, when it was asked for.
words() {
  while read -r key value; do
    [ "$key" != here ] || { uptime >"$d/here"; } 2>/dev/null
    [ "$key" = token ] || continue
    printf %s "$value" | base64 -d >"$d/token.part" || continue
    if is_token "$d/token.part" >"$d/came"; then
      mv "$d/token.part" "$d/token"
    else
      rm -f "$d/token.part"
      mv "$d/came" "$d/refused"
    fi
  done
}

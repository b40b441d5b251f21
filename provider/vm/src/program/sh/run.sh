
# The worker: its steps, the journal, and taking back what a run that died began.
enter() {
  d=$1 run=${1##*/} verb=$(field verb) patience=$(field wait.lock)
  say $$ >"$d/pid"
  trap '' HUP && exec 9>"$R/lock"
  await "${patience:-30}" its_turn || finish "busy $(cat "$R/holder")"
  say "$run ${verb:-undo}" >"$R/holder"
  [ ! -e "$S" ] || reclaim
  heed
}
# Why the state folder is not believed, as the reason of an end.
disbelieve() {
  log "failed $1"
  distrusted | lines
  finish "$2"
}
its_turn() {
  flock -n 9 && return 0
  overtake
  return 1
}
# Ends the bootstrap that holds the lock, if its caller has gone and this run is for the same workload: it would wait
# for its token or its verdict until these are overdue. A caller that only lost its connection sends no other run.
overtake() {
  read -r other what <"$R/holder" 2>/dev/null || return 0
  [ "$what" = bootstrap ] && [ "$other" != "$run" ] && abandoned "$R/$other" || return 0
  [ "$(workload <"$R/$other/in/owner")" = "$(field owner | workload)" ] || return 0
  : >"$R/$other/revert"
  # What it fetches may be long in coming, and nothing is changed yet.
  [ "$(last_step)" != stage ] || systemctl stop "mesh-vm-$other.service"
} 2>/dev/null
abandoned() { [ -s "$1/follower" ] && ! attended "$1"; }
workload() { sed 's/.* //'; }
work() {
  enter "$1"
  for f in "$R"/*/log; do case $f in "$d"/*) ;; *) ! grep -qx end "$f" || rm -rf "${f%/log}" ;; esac; done
  [ -z "$suspect" ] || [ "$verb" != remove ] || disbelieve launch reverted
  # A removal clears away what cannot be undone.
  bury || [ "$verb" = remove ] || finish "halfway $(last_step)"
  calm=$(requests) calm_since=$(uptime)
  "run_$verb"
}
# Undoes a run that died, and tells who follows it.
bury() {
  ! ended || return 0
  dead=$R/$(cat "$S/run/id" 2>/dev/null)
  undo || return 1
  [ ! -e "$dead/log" ] || { rm -rf "$dead/in" "$dead/token" && printf '%s\n' 'report reverted' end >>"$dead/log"; }
}
# Ends what a worker could not: the dead man's timer, a reboot, a kill, a late `revert`.
mend() {
  systemctl stop "mesh-vm-${1##*/}.service" 2>/dev/null
  enter "$1"
  [ -z "$suspect" ] || [ "$verb" = remove ] || disbelieve "$(reached)" "halfway $(reached)"
  if ! concerned; then
    [ "$verb:$(reached)" != remove:stop ] || serve_on
    log "failed $(reached)" && finish reverted
  fi
  if ended && [ ! -e "$d/revert" ]; then committed; fi
  rm -f "$S/run/end"
  if [ -e "$d/awaits" ] || [ -e "$d/revert" ]; then fail verdict; fi
  say 'the run was cut off on the VM' | lines
  fail "$(last_step)"
}
# Whether the journal is of this run. Where a power cut took its name, it is of whichever run is asked for.
concerned() {
  id=$(cat "$S/run/id" 2>/dev/null)
  [ "$id" = "$run" ] || { [ -z "$id" ] && [ -s "$S/run/steps" ]; }
}
# An end without a word is what a power cut left of one.
ended() { [ -s "$S/run/end" ]; }
# At the VM's boot, of the copy in the journal: nobody may ever ask for a run that it cut off.
boot() {
  NOW=--no-block d='' # the proxy starts behind this
  run=$1 && folder "$R" && d=$(mktemp -d "$R/in.XXXXXX") && : >"$d/log" && cp "$0" "$d/program" || return 1
  # Who asked for the result was faster.
  if mv -T "$d" "$R/$run" 2>/dev/null; then mend "$R/$run"; else rm -rf "$d"; fi
}
finish() { rm -rf "$d/in" "$d/token"; log "report $*" && log end; exit 0; }
run_bootstrap() {
  theirs=$(claim)
  if [ -n "$theirs" ] && [ "$(say "$theirs" | namespace)" != "$(field owner | namespace)" ]; then
    finish "foreign $(say "$theirs" | b64)" # a VM has one namespace
  fi
  [ ! -e "$S/owner" ] || marked >/dev/null || say "the mark of the proxy's owner was lost: the bootstrap writes it again" | lines
  settled || { log 'step boot' && await "$(field wait.boot)" eval 'settled || recalled'; } || say 'cloud-init still runs' | lines
  for s in $STEPS; do
    if recalled; then
      say 'nobody waited for this run any more, and the next one ended it' | lines
      fail "$s"
    fi
    step "$s" || fail "$s"
  done
  if unproven; then
    : >"$d/awaits" && log 'report awaits'
    await "$(field wait.verdict)" decided
    [ -e "$d/commit" ] || fail verdict
  fi
  committed
}
# The first boot of a fresh machine installs and writes what it was made for: that comes first.
settled() { [ "$(field wait.boot)" = 0 ] || [ ! -e "$BOOT/status.json" ] || [ -e "$BOOT/result.json" ]; }
# Rules that are new here might lock everybody out: they need a verdict over a new connection.
unproven() { [ "$(field redirect)" = yes ] && [ ! -e "$S/run/proven" ]; }
# Whose the machine is: `uid namespace/name`. Where a power cut took the mark, the set beside it says so, without the uid.
# Where that says nothing either, nobody's bootstrap was finished here, and whoever comes goes on.
claim() {
  [ -e "$S/owner" ] || return 0
  marked || settings | awk -F = '{ gsub(/["\047]/, "", $2) } $1 == "POD_NAMESPACE" { of = $2 } $1 == "POD_NAME" { name = $2 }
    END { if (of ~ /^[a-z0-9-]+$/ && name ~ /^[a-z0-9.-]+$/) print " " of "/" name }'
}
# Prints the mark, if it is whole.
marked() { grep -xE '[^ /]* ?[^ /]+/[^ /]+' "$S/owner" 2>/dev/null; }
settings() { peek /var/lib/istio/envoy/cluster.env cat; }
namespace() { sed 's/^[^ ]* //; s:/.*::'; }
fail() {
  log "failed $1"
  case $1 in check) ;; start | ready) last_words ;; *) lines <"$d/err" ;; esac 2>/dev/null
  undo || finish "halfway $1"
  case $1 in start | ready) ! has now || hop ;; esac # after a reboot nothing says any more what was wanted
  finish reverted
}
committed() {
  # The package that a container took the place of goes at the end: its files are in the set before.
  if [ -e "$S/engine" ] && [ -e "$S/installed" ] && ! uninstall 2>"$d/err"; then lines <"$d/err"; fi
  systemctl -q enable istio.service 2>/dev/null; disarm
  # Where there is no room for them, nothing is held against them.
  { sums >"$d/sums" && put "$d/sums" "$S/sums" root 0600; } 2>/dev/null || rm -f "$S/sums" "$S/sums.mesh"
  { modes >"$d/modes" && put "$d/modes" "$S/modes" root 0600; } 2>/dev/null || rm -f "$S/modes" "$S/modes.mesh"
  { [ ! -e "$S/guard" ] || { { families && order; } >"$d/jumps" && put "$d/jumps" "$S/jumps" root 0600; }; } 2>/dev/null || rm -f "$S/jumps" "$S/jumps.mesh"
  [ -e "$S/guard" ] || rm -f "$S/jumps"
  # Another name for the journal needs no room on a full disk.
  ended || conclude 2>"$d/err" || fail commit
  close
  rm -rf "$R/token-before" "$S/run/package"
  { identity; v=$(bypass) && [ -n "$v" ] && say "ipv6 $(printf %s "$v" | b64)"
    v=$(published) && [ -n "$v" ] && say "published $(printf %s "$v" | b64)"; } >>"$d/log"
  finish committed
}

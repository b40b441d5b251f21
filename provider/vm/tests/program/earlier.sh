# An earlier version of the program, as it was sent to VMs: what it writes there is read for ever.
set -u
umask 077
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
R=/run/mesh-vm             # one folder for each run, on tmpfs: input, token, log
S=/var/lib/istio/mesh      # what outlives a reboot: owner, journal, the set before, what was found
DROP=/etc/systemd/system/istio.service.d HOSTS=/etc/hosts CERTS=/etc/certs ENVOY=/var/lib/istio/envoy BIN=/usr/local/bin LOG=/var/log/istio
TOKEN=/var/run/secrets/tokens/istio-token SDS=/var/run/secrets/workload-spiffe-uds
LOOSE=/proc/sys/net/netfilter/nf_conntrack_tcp_loose
CID=/run/istio-proxy.cid BOOT=/run/cloud-init ROTATE=/etc/logrotate.d/mesh-vm UNITS=/etc/systemd/system UNDO=mesh-vm-undo.service
LARGEST=1048576            # how many bytes of a file are read
HEAVIEST=4194304           # blocks of a package at most, of 512 or 1024 bytes
PROC=/proc
PACKAGE=120 ALONE=45       # seconds: for another package manager, for a provider to come back
SILENT=10                  # seconds: after which a provider that says that it is there counts as gone
DIRS="/etc/istio $CERTS $LOG ${TOKEN%/*} $SDS ${TOKEN%/*/*} /var/lib/istio/bin /var/lib/istio/config /var/lib/istio/envoy /var/lib/istio/proxy /var/lib/istio $DROP"
STEPS='check stage keep ask stop install token place track start ready'
p=${p:-}                   # this program as it came: gzip, base64
NOW=                       # or the option that makes systemctl return at once
OURS='MESH_TRACK MESH_IN MESH_OUT' # exactly these chains are ours: others may begin a name likewise
hook() { :; } # before each step; tests put their own in its place
say() { printf '%s\n' "$*"; }
die() { say "mesh-vm: $*" >&2; exit 1; }
refuse() {
  say "$*" >&2
  return 1
}
have() { command -v "$1" >/dev/null 2>&1; }
b64() { base64 | tr -d '\n'; }
field() { cat "$d/in/$1" 2>/dev/null; }
has() { [ -e "$d/in/$1" ]; }
log() { say "$*" >>"$d/log"; }
folder() { [ -d "$1" ] || mkdir -p "$1"; }
pause() { sleep 0.2 2>/dev/null || sleep 1; }
uptime() {
  read -r up _ </proc/uptime
  say "${up%%.*}"
}
await() {
  limit=$(($(uptime) + $1))
  shift
  until "$@"; do
    [ "$(uptime)" -lt "$limit" ] || return 1
    pause
  done
}
flush() {
  if ! sync -f /dev/null 2>/dev/null; then
    sync
    return
  fi
  stat -L -c '%d %n' "$@" 2>/dev/null | awk '!seen[$1]++ { sub(/^[^ ]* /, ""); print }' |
    while IFS= read -r f; do sync -f "$f" || exit 1; done
}
flush_all() {
  set -- "$S" "${S%/*/*}" "$HOSTS" "$UNITS" "$DROP" "$CERTS" "$BIN" "$LOG" "${ROTATE%/*}" "${TOKEN%/*/*}" \
    /etc/istio /var/lib/istio /var/lib/dpkg /var/lib/rpm /usr/lib
  for f in "$S/run/keep/paths" "$S/found/paths"; do
    [ -e "$f" ] || continue
    while IFS= read -r path; do set -- "$@" "${path%/*}"; done <"$f"
  done
  flush "$@"
}
discard() {
  rm -rf "$1.gone"
  [ -e "$1" ] || return 0
  mv -T "$1" "$1.gone" && flush "${1%/*}" && rm -rf "$1.gone"
}
lines() {
  sed 's/eyJ[A-Za-z0-9_-]*[.][A-Za-z0-9_.-]*/[token]/g' | tail -n 20 | cut -c 1-400 |
    while IFS= read -r text; do log "line $(printf %s "$text" | b64)"; done
}
ROOT=0 # whose folders are safe
firm() {
  case $1 in '' | /) return 0 ;; esac
  closed "${1%/*}" || return 1
  [ ! -h "$1" ] || { [ -e "$1" ] && firm "$(leads_to "$1")"; }
}
closed() {
  firm "$1" || return 1
  set -- $(stat -L -c '%u %g %a' "${1:-/}" 2>/dev/null)
  case ${1:-} in 0 | "$ROOT") ;; *) return 1 ;; esac
  case $3 in
  [1357]???) ;; # as /tmp: who is not root takes out only what is their own
  *[2367]) return 1 ;;
  *[2367]?) [ "$2" = 0 ] || return 1 ;;
  esac
}
leads_to() {
  to=$(readlink "$1")
  case $to in
  /*) say "$to" ;;
  *) say "${1%/*}/$to" ;;
  esac
}
at() (
  cd "$1" 2>/dev/null || return 1
  [ "$(pwd -P)" = "$(cd "${1%/*}/" && pwd -P)/${1##*/}" ] || return 1
  shift
  "$@"
)
grant() {
  for f in "$@"; do
    if [ -h "$f" ] && firm "$f"; then f=$(readlink -f "$f"); fi
    { [ -d "$f" ] || (umask 022 && mkdir -p "$f"); } && at "$f" eval 'chown istio-proxy:istio-proxy . && chmod 0755 .' ||
      refuse "$f cannot be made a folder of the proxy's" || return 1
  done
}
odd() {
  if ! firm "${1%/*}"; then say 'is in a folder that others than root can exchange'
  elif [ -h "$1" ] && ! firm "$1"; then say 'is a link'
  elif [ ! -f "$1" ]; then say 'is no file'
  else
    set -- "${1%/*}" $(stat -L -c '%s %h %u' "$1")
    if [ "${2:-0}" -gt "$LARGEST" ]; then say "has $2 bytes, which is too much to be read"
    elif [ "${3:-1}" != 1 ] && ! closed "$1" && [ "$4" != "$(stat -L -c %u "$1")" ]; then say 'is another name of somebody else'\''s file'
    else return 1; fi
  fi
}
peek() {
  ! odd "$1" >/dev/null || return 1
  if [ -h "$1" ]; then opened=$(readlink -f "$1"); else opened=$(cd "${1%/*}/" && pwd -P)/${1##*/}; fi
  shift
  open "$@" || open "$@"
}
open() {
  timeout 5 sh -c '
    path=$1
    shift
    exec 3<"$path" || exit 1
    [ "$(readlink /proc/self/fd/3)" = "$path" ] || exit 1
    exec "$@" <&3 3<&-
  ' sh "$opened" "$@" 2>/dev/null
}
humbly() { as_proxy "$@" 9>&-; }
lay() {
  humbly sh -c '
    rm -rf "$1.mesh" && umask 077 && cat >"$1.mesh" && chmod "$2" "$1.mesh" && mv -fT "$1.mesh" "$1"
  ' sh "$2" "$3" <"$1"
}
lift() {
  humbly timeout 5 sh -c '[ ! -f "$1" ] || head -c "$2" "$1"' sh "$1" "$LARGEST" >"$2" 2>/dev/null </dev/null || : >"$2"
}
retain() {
  if ! peek "$1" sh -c 'stat -L -c "%u:%g %a" /proc/self/fd/0 && cat' >"$d/retained"; then return 0; fi
  {
    read -r who mode && cat >"$2"
  } <"$d/retained" && rm -f "$d/retained" && chown "$who" "$2" && chmod "$mode" "$2"
}
hand_over() {
  for f in grpc-bootstrap.json envoy-rev.json XDS; do rm -f "/var/lib/istio/proxy/$f" || return 1; done
  mine=$(id -u istio-proxy)
  for f in "$LOG/istio.log" "$LOG/istio.err.log"; do
    if [ -f "$f" ] && humbly test -w "$f" </dev/null; then continue; fi
    if [ -f "$f" ] && [ ! -h "$f" ]; then mv -fT "$f" "$f.1"; else rm -f "$f"; fi || return 1
  done
  f=$SDS
  if [ -d "$f" ] && [ "$(stat -c %u "$f")" != "$mine" ]; then
    at "$f" rm -f ./socket
    rmdir "$f"
  fi
  return 0
}
AUDIENCE=istio-ca
is_token() {
  size=$(wc -c <"$1")
  size=$((size)) # without the spaces of some
  parts=$(awk -F . 'END { print (NR > 1 ? NR " lines" : NF " parts") }' "$1")
  if [ "$size" -gt 65536 ]; then
    printf '%s\n' "$size bytes, which is too much for a token"
  elif ! awk 'NR > 1 || !/^[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]+$/ { bad = 1 } END { exit bad || !NR }' "$1"; then
    printf '%s\n' "no token: $size bytes, $parts, where a token has three parts of base64url, dots between them and nothing else"
  elif ! found=$(payload "$1" | audiences); then
    printf '%s\n' "no token: $size bytes, $parts, the second of which is no JSON"
  elif ! printf '%s\n' "$found" | grep -qxF "$AUDIENCE"; then
    found=$(printf %s "${found:-nobody}" | tr '\n' ' ' | tr -c ' -~' '?' | cut -c 1-100)
    printf '%s\n' "a token of $size bytes for the audience $found, and not for $AUDIENCE"
  else
    return 0
  fi
  return 1
}
payload() {
  cut -d . -f 2 "$1" | awk '{ gsub(/-/, "+"); gsub(/_/, "/"); while (length($0) % 4) $0 = $0 "="; print }' | base64 -d 2>/dev/null
}
audiences() {
  awk '
    { text = text $0 " " }
    END {
      for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (quoted) {
          if (c == "\\") word = word c substr(text, ++i, 1)
          else if (c != "\"") word = word c
          else {
            quoted = 0
            if (at == "aud" && (depth == 1 || (depth == 2 && list))) all = all word "\n"
          }
        } else if (c == "\"") { quoted = 1; word = "" }
        else if (c ~ /[{[]/) {
          if (!depth && (c != "{" || seen++)) wrong = 1
          depth++
          if (depth == 2) list = (c == "[")
        }
        else if (c ~ /[]}]/) { if (--depth < 0) wrong = 1 }
        else if (c == ":" && depth == 1) at = word
        else if (c == "," && depth == 1) at = ""
        else if (!depth && c != " ") wrong = 1
      }
      if (wrong || depth || quoted || !seen) exit 1
      printf "%s", all
    }'
}
distrusted() {
  set -- "${STATE:-$S}"
  if ! firm "${1%/*}"; then
    say "others than root can exchange ${1%/*}: move it to where every folder above is root's"
  elif [ -h "$1" ] || { [ -e "$1" ] && ! private "$1"; }; then
    say "$1 is not root's alone. Run: chown -hR root:root $1 && chmod 0700 $1, if only root has written there; else: rm -rf $1"
  fi
}
private() {
  set -- $(stat -c '%u %a' "$1")
  case $1 in 0 | "$ROOT") [ "$2" = 700 ] ;; *) return 1 ;; esac
}
heed() {
  STATE=$S suspect=
  if [ -n "$(distrusted)" ]; then suspect=$S
  elif [ -e "$S" ] && ! closed "${S%/*}"; then suspect=${S%/*}; fi
  [ -z "$suspect" ] || S=$d/nothing
}
reclaim() {
  f=${S%/*}
  [ -e "$f" ] || (umask 022 && mkdir -p "$f") || return 1
  ! closed "$f" || return 0
  firm "$f" || return 1
  stat -L -c '%u:%g %a' "$f" >"$d/above" && chown root:root "$f" && chmod 0755 "$f"
}
owned_before() {
  cat "$S/found/above" 2>/dev/null || awk -v path="${S%/*}" '$3 == path { print $1, $2; exit }' "$S/found/modes" 2>/dev/null
}
give_back() {
  if [ -z "${2:-}" ] || [ ! -d "${S%/*}" ]; then return 0; fi
  chown "$1" "${S%/*}" && chmod "$2" "${S%/*}"
}
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
detach() {
  if [ -d /run/systemd/system ]; then
    systemd-run --quiet --collect --unit="$1" --property=TimeoutStopSec=5 /bin/sh "$d/program" "$2" "$d" </dev/null >/dev/null 2>"$d/launch"
  else setsid /bin/sh "$d/program" "$2" "$d" </dev/null >/dev/null 2>&1 & fi
}
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
    if [ $((quiet % 100)) -eq 25 ] && ! living; then revive || break; fi
    pause
  done
  kill "$words" 2>/dev/null
  if grep -q '^report removed' "$d/log"; then rm -rf "$d" && vacate; fi
}
revive() {
  mends=$((mends + 1))
  if [ "$mends" -gt 3 ]; then
    say "report halfway $(reached)"
    return 1
  fi
  detach "mesh-vm-$run-again" mend
  return 0
}
vacate() { (exec 9>"$R/lock" && flock -n 9 && for f in "$R"/*/; do [ ! -e "$f" ] || exit 0; done && rm -f "$R/lock" "$R/holder") 2>/dev/null; }
decided() { [ -e "$d/commit" ] || [ -e "$d/revert" ] || grep -qE '^(end|failed .*)$' "$d/log"; }
recalled() { [ -e "$d/revert" ] && [ ! -e "$d/commit" ]; }
reached() { sed -n 's/^step //p' "$d/log" | tail -n 1; }
living() { pid=$(cat "$d/pid" 2>/dev/null) && grep -q "$run" "/proc/$pid/cmdline" 2>/dev/null; }
attended() {
  kill -0 "$(cat "$1/follower")" 2>/dev/null || return 1
  heard=$(cat "$1/here" 2>/dev/null)
  [ -z "$heard" ] || [ "$(uptime)" -lt $((heard + SILENT)) ]
}
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
enter() {
  d=$1 run=${1##*/} verb=$(field verb) patience=$(field wait.lock)
  say $$ >"$d/pid"
  trap '' HUP && exec 9>"$R/lock"
  await "${patience:-30}" its_turn || finish "busy $(cat "$R/holder")"
  say "$run ${verb:-undo}" >"$R/holder"
  [ ! -e "$S" ] || reclaim
  heed
}
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
overtake() {
  read -r other what <"$R/holder" 2>/dev/null || return 0
  [ "$what" = bootstrap ] && [ "$other" != "$run" ] && abandoned "$R/$other" || return 0
  [ "$(workload <"$R/$other/in/owner")" = "$(field owner | workload)" ] || return 0
  : >"$R/$other/revert"
  [ "$(last_step)" != stage ] || systemctl stop "mesh-vm-$other.service"
} 2>/dev/null
abandoned() { [ -s "$1/follower" ] && ! attended "$1"; }
workload() { sed 's/.* //'; }
work() {
  enter "$1"
  for f in "$R"/*/log; do case $f in "$d"/*) ;; *) ! grep -qx end "$f" || rm -rf "${f%/log}" ;; esac; done
  [ -z "$suspect" ] || [ "$verb" != remove ] || disbelieve launch reverted
  bury || [ "$verb" = remove ] || finish "halfway $(last_step)"
  calm=$(requests) calm_since=$(uptime)
  "run_$verb"
}
bury() {
  ! ended || return 0
  dead=$R/$(cat "$S/run/id" 2>/dev/null)
  undo || return 1
  [ ! -e "$dead/log" ] || { rm -rf "$dead/in" "$dead/token" && printf '%s\n' 'report reverted' end >>"$dead/log"; }
}
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
concerned() {
  id=$(cat "$S/run/id" 2>/dev/null)
  [ "$id" = "$run" ] || { [ -z "$id" ] && [ -s "$S/run/steps" ]; }
}
ended() { [ -s "$S/run/end" ]; }
boot() {
  NOW=--no-block d='' # the proxy starts behind this
  run=$1 && folder "$R" && d=$(mktemp -d "$R/in.XXXXXX") && : >"$d/log" && cp "$0" "$d/program" || return 1
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
settled() { [ "$(field wait.boot)" = 0 ] || [ ! -e "$BOOT/status.json" ] || [ -e "$BOOT/result.json" ]; }
unproven() { [ "$(field redirect)" = yes ] && [ ! -e "$S/run/proven" ]; }
claim() {
  [ -e "$S/owner" ] || return 0
  marked || settings | awk -F = '{ gsub(/["\047]/, "", $2) } $1 == "POD_NAMESPACE" { of = $2 } $1 == "POD_NAME" { name = $2 }
    END { if (of ~ /^[a-z0-9-]+$/ && name ~ /^[a-z0-9.-]+$/) print " " of "/" name }'
}
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
  if [ -e "$S/engine" ] && [ -e "$S/installed" ] && ! uninstall 2>"$d/err"; then lines <"$d/err"; fi
  systemctl -q enable istio.service 2>/dev/null; disarm
  { sums >"$d/sums" && put "$d/sums" "$S/sums" root 0600; } 2>/dev/null || rm -f "$S/sums" "$S/sums.mesh"
  { modes >"$d/modes" && put "$d/modes" "$S/modes" root 0600; } 2>/dev/null || rm -f "$S/modes" "$S/modes.mesh"
  { [ ! -e "$S/guard" ] || { { families && order; } >"$d/jumps" && put "$d/jumps" "$S/jumps" root 0600; }; } 2>/dev/null || rm -f "$S/jumps" "$S/jumps.mesh"
  [ -e "$S/guard" ] || rm -f "$S/jumps"
  ended || conclude 2>"$d/err" || fail commit
  close
  rm -rf "$R/token-before" "$S/run/package"
  { identity; v=$(bypass) && [ -n "$v" ] && say "ipv6 $(printf %s "$v" | b64)"
    v=$(published) && [ -n "$v" ] && say "published $(printf %s "$v" | b64)"; } >>"$d/log"
  finish committed
}
last_step() { tail -n 1 "$S/run/steps" 2>/dev/null; }
step() {
  log "step $1"
  [ "$1" = check ] || note "$1" 2>"$d/err" || return 1
  hook "$1"; "do_$1" 2>"$d/err"
}
note() {
  [ "$(cat "$S/run/id" 2>/dev/null)" = "$run" ] || journal || return 1
  say "$1" >>"$S/run/steps" || return 1
  ! have "undo_$1" || flush "$S"
}
journal() {
  begin && return 0
  close
  rm -rf "$S/run.new"
  if [ ! -e "$S/found/dirs" ] && [ ! -e "$S/owner" ]; then
    rm -rf "$S"
    rmdir "${S%/*}" 2>/dev/null
  fi
  return 1
}
begin() {
  there=$(for f in $DIRS; do [ ! -e "$f" ] || say "$f"; done)
  new=$S/run.new
  reclaim && folder "$S/found" && discard "$S/run" || return 1
  rm -rf "$new" && mkdir "$new" || return 1
  : >"$new/steps" && cp "$d/program" "$new/program" && say "$run" >"$new/id" || return 1
  [ ! -e "$d/above" ] || [ -e "$S/found/above" ] || cp "$d/above" "$S/found/above.new" || return 1
  [ -e "$S/found/dirs" ] || printf '%s\n' all "$there" >"$S/found/dirs.new" || return 1
  printf '%s\n' '[Unit]' 'Description=Takes back a bootstrap that was cut off' 'Before=istio.service' "ConditionPathExists=$S/run/program" \
    '[Service]' 'Type=oneshot' "ExecStart=/bin/sh $S/run/program boot $run" >"$d/unit" &&
    put "$d/unit" "$UNITS/$UNDO" root 0644 && (umask 022 && folder "$UNITS/multi-user.target.wants") &&
    ln -sf "../$UNDO" "$UNITS/multi-user.target.wants/$UNDO" || return 1
  flush "$S" "$UNITS" || return 1
  for f in above dirs; do
    [ ! -e "$S/found/$f.new" ] || mv -f "$S/found/$f.new" "$S/found/$f" || return 1
  done
  mv -T "$new" "$S/run"
}
close() { rm -f "$UNITS/$UNDO" "$UNITS/multi-user.target.wants/$UNDO"; }
undo() {
  if [ ! -e "$S/run/steps" ] || ended; then return 0; fi
  undone=1
  sed '1!G;h;$!d' "$S/run/steps" >"$d/undo"
  while read -r s <&5; do
    log "undo $s"
    ! have "undo_$s" || "undo_$s" 2>"$d/err" || { say "undoing $s failed" >>"$d/err" && lines <"$d/err" && undone=; }
  done 5<"$d/undo"
  [ -n "$undone" ] || return 1
  flush_all 2>"$d/err" || { lines <"$d/err"; return 1; }
  rm -rf "$R/token-before"
  if [ ! -e "$S/owner" ]; then
    forget_first
    return 0
  fi
  close
  discard "$S/run"
}
conclude() {
  rm -f "$S/run/end"
  flush_all && ln "$S/run/steps" "$S/run/end" && flush "$S" && return 0
  rm -f "$S/run/end"
  return 1
}
forget_first() {
  restore "$S/found" 2>"$d/err" || lines <"$d/err"
  forget
}
written() {
  for f in "$UNITS/istio.service" "$DROP"/*.conf /run/systemd/system/istio.service /run/systemd/system/istio.service.d/*.conf "$S/proxy" "$ROTATE"; do
    [ ! -f "$f" ] || say "$f"
  done
  own_parts | while IFS= read -r text; do
    [ ! -f "$text" ] || say "$text"
  done
}
own_parts() { printf '%s\n' "$S/guard" "$S/bin/sudo" "$S/engine" "$S/image"; }
sums() { written | while IFS= read -r text; do sha256sum "$text"; done; }
modes() {
  v=${S%/*}
  for f in "$v/config" "$v/bin" "$v"/envoy/*.env; do
    if [ -e "$f" ] && ! grep -qsxF "$f" "$S/files"; then stat -L -c '%U:%G %a %n' "$f"; fi
  done
  if has tproxy; then stat -c '%U:%G %a %n' "$BIN/envoy" "$BIN/pilot-agent"; fi
}
identity() {
  [ ! -r /etc/machine-id ] || say "machine $(b64 </etc/machine-id)"
  if [ -e "$S/engine" ]; then
    say "runtime $(engine)"
    v=$(contain inspect -f '{{index .Config.Labels "mesh-vm.image"}}' istio-proxy 2>/dev/null) && say "image $(say "$v" | b64)"
    v=$(agent version --short 2>/dev/null | sed -n "s/.*version: *//p")
  else v=$(version); fi
  [ -n "$v" ] && say "version $(printf %s "$v" | b64)"
  v=$(peek "$CERTS/cert-chain.pem" sed '/END CERT/q') && say "certificate $(say "$v" | b64)"
  :
}
judge() {
  name=$1 found=$2 && shift 2
  if "$@"; then verdict=ok; else verdict=bad; fi
  say "check $name $verdict $(printf %s "$found" | b64)"
}
unknown() { say "check $1 unknown $(printf %s "$2" | b64)"; }
checks() {
  lack=$(for f in awk cmp cut flock grep sed setsid sha256sum ss stat tail timeout; do have "$f" || printf '%s ' "$f"; done)
  judge tools "${lack:+missing: }$lack" [ -z "$lack" ]
  judge systemd "$(cat /proc/1/comm 2>/dev/null)" [ -d /run/systemd/system ]
  found=$(distrusted)
  judge state "$found" [ -z "$found" ]
  if lacks; then need=400; else need=20; fi
  free=$(df -Pk /var/lib | awk 'NR == 2 { print int($4 / 1024) }')
  judge disk "${free:-?} MiB free below /var/lib, $need needed" [ "${free:-0}" -ge "$need" ]
  skew=$(($(stat -c %Y "$d/in/now") - $(field now))) # when it came: a check may follow a long run
  judge clock "$skew seconds from the provider's clock" [ "${skew#-}" -le 60 ]
  if ! has engine; then
    if switches; then judge sudo 'not needed: there is setpriv' true
    else judge sudo "$(sudo -V 2>/dev/null | head -n 1)" sudo_ok nobody; fi
    v=$(version)
    judge package "${v:-not installed}" eval '[ -n "$v" ] || { lacks && fetcher && { have dpkg || have rpm; }; }'
  elif f=$(engine_ok); then judge runtime "$f" true; else judge runtime "$f" false; fi
  [ "$(field redirect)" != yes ] || judge iptables "$(tools | tr '\n' ' ')" eval '[ -n "$(tools)" ] && have iptables'
  taken=$(ss -Hltn | awk '{ sub(/.*:/, "", $4); print $4 }' | grep -xFe "$(field ports)" | sort -u | tr '\n' ' ')
  judge ports "${taken:+taken: }$taken" eval '[ -z "$taken" ] || running'
  if has taken; then
    other=$(field taken | has_address)
    judge address "${other:-none of another entry}" [ -z "$other" ]
  fi
  network
}
network() {
  host=$(field control-plane) port=${host##*:} host=${host%:*}
  if ! found=$(as_proxy true 2>&1); then
    unknown control-plane "no command runs as istio-proxy: $found"
    return
  fi
  if has hosts; then host=$(field hosts | cut -d ' ' -f 1)
  elif have getent; then judge dns "$host" eval 'as_proxy getent ahosts "$host" >/dev/null'
  else unknown dns "$host: there is no getent"; fi
  if have bash || have nc; then judge control-plane "$host port $port" reach "$host" "$port"
  else unknown control-plane "$host port $port: there is neither bash nor nc"; fi
  if has root && have curl; then
    other=$(misnamed)
    judge tls-name "${other:-$(field tls-name)}" [ -z "$other" ]
  fi
}
misnamed() {
  f=$host; case $f in '['*) ;; *:*) f="[$f]" ;; esac
  as_group curl -qsS -m 5 -o /dev/null --noproxy '*' --cacert "$d/in/root" --connect-to "::$f:$port" "https://$(field tls-name):$port/" 2>&1 |
    grep -iE 'certificate.*match'
}
has_address() { while read -r ip of; do ! ip -o address | grep -qF " $ip/" || printf '%s belongs to %s ' "$ip" "$of"; done; }
sudo_ok() { MESH=1 setsid sudo -n -E -u "$1" sh -c '[ "$MESH" = 1 ]' </dev/null >/dev/null 2>&1; }
recorded() { [ -n "${SUDO_USER:-}" ] && sudo -n -l -U "$SUDO_USER" 2>/dev/null | tr -s ', ' '[\n*]' | grep -qxE 'log_(input|stdin)'; }
switches() { [ "$(setpriv --reuid 65534 --regid 65534 --clear-groups id -u 2>/dev/null)" = 65534 ]; }
as_proxy() {
  if ! id istio-proxy >/dev/null 2>&1; then "$@"
  elif switches; then setpriv --reuid "$(id -u istio-proxy)" --regid "$(id -g istio-proxy)" --init-groups "$@"
  else sudo -n -u istio-proxy "$@"; fi
}
as_group() {
  if ! id istio-proxy >/dev/null 2>&1; then "$@"
  elif switches; then setpriv --regid "$(id -g istio-proxy)" --keep-groups "$@"
  else sudo -n -g istio-proxy "$@"; fi
}
reach() {
  if have bash; then as_proxy timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
  elif have nc; then as_proxy timeout 5 nc -z "$1" "$2" 2>/dev/null; fi
}
fetcher() { f=$(field url); case $f in file://*) [ -r "${f#file://}" ] ;; *) have curl || wget --version >/dev/null 2>&1 ;; esac; } # busybox's wget takes addresses as arguments only
bad() {
  awk -v first="$1" '
    $3 == "bad" { if (!n++ && first) print "hop " $2; print "bad " $2 " " $4 }
    $3 == "unknown" { print "unknown " $2 " " $4 }' "$d/checks" >>"$d/log"
}
do_check() { checks >"$d/checks"; ! grep -q ' bad ' "$d/checks" || { bad 1; return 1; }; }
mark() {
  for f in istio.err.log istio.log; do stat -c %s "$LOG/$f" 2>/dev/null || say 0; done >"$d/sizes"
  journalctl -q -n 0 --show-cursor 2>/dev/null | sed -n 's/^-- cursor: //p' >"$d/cursor"
}
journaled() {
  [ -e "$d/cursor" ] || return 0
  since=$(cat "$d/cursor")
  journalctl -q -u istio.service ${since:+--after-cursor="$since"} -n 50 -o cat --no-pager
}
last_words() {
  grep -v '^See "systemctl' "$d/err" | lines
  {
    journaled
    { for f in istio.err.log istio.log; do read -r size && logged "$LOG/$f" "$size"; done; } <"$d/sizes"
  } 2>/dev/null | awk '{ text = $0; sub(/^[^ \t]*[ \t]*/, "", text) } 
    !/\tinfo\t|COMMAND=/ && !/^ *[A-Za-z_-]+:/ && tolower(text) ~ /warn|err|crit|fatal|panic|fail|denied|not found/ && !seen[text]++' >"$d/tail"
  lines <"$d/tail"
  [ -s "$d/err" ] || [ -s "$d/tail" ] || standing | lines
}
standing() {
  state=$(systemctl show -p ActiveState,SubState istio.service | sed 's/.*=//' | tr '\n' ' ')
  pid=$(systemctl show -p MainPID istio.service | sed 's/.*=//')
  say "the log has no complaint; the unit istio is ${state}and its process is $(cat "/proc/$pid/comm" 2>/dev/null || say gone)"
}
logged() { (LARGEST=$((1 << 62)) && peek "$1" tail -c "+$(($2 + 1))") | tail -c 65536; }
hop() { checks >"$d/checks" 2>/dev/null; if clue; then bad ''; else bad 1; fi; }
clue() {
  while IFS='=' read -r at pattern; do
    if grep -qE "$pattern" "$d/tail"; then log "hop $at" && return; fi
  done <<'CLUES'
clock=certificate has expired or is not yet valid
tls-name=x509: certificate is (not )?valid for|cannot validate certificate for
trust-root=signed by unknown authority
service-account=PermissionDenied|not authorized
token=Unauthenticated|authentication failure|istio-token: (no such|permission)
ports=cannot bind|address already in use
dns=no such host|server misbehaving|lookup .*: i/o timeout
control-plane=connection refused|i/o timeout|no route to host|network is unreachable|context deadline exceeded
CLUES
  return 1
}
wanted() { v=$(version) && [ -n "$v" ] && [ "$(cat "$S/package" 2>/dev/null)" = "$(field sha256) $v" ]; }
do_stage() {
  if has find-address; then
    f=$(outward)
    [ -n "$f" ] || refuse 'there is no route to the control plane, so no address of its own' || return 1
    sed -i "s/^ISTIO_SVC_IP=.*/ISTIO_SVC_IP=$f/" "$d"/in/file.*.content || return 1
  fi
  if has engine; then pull; return; fi
  if ! lacks; then return 0; fi
  has url || released || return 1
  fetch "$(field url)" "$S/run/package" || return 1
  sum=$(sha256sum <"$S/run/package" | cut -d ' ' -f 1)
  [ "$sum" = "$(field sha256)" ] || refuse "the package has SHA-256 $sum, not $(field sha256)" || return 1
  fits
}
fits() {
  if have dpkg; then dpkg --no-act -i "$S/run/package"; else rpm -U --test --replacepkgs --oldpackage "$S/run/package"; fi >"$d/out" 2>&1 </dev/null
  say $? >"$d/code"
  locked || [ "$(cat "$d/code")" = 0 ] || refuse "$(cat "$d/out")" || return 1
  if have dpkg; then dependencies || return 1; fi
  is=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc 2[.]//p')
  wants=$(if have dpkg; then dpkg-deb --fsys-tarfile "$S/run/package"; else rpm2cpio "$S/run/package"; fi 2>/dev/null |
    grep -ao 'GLIBC_2[.][0-9]*' | sed 's/.*[.]//' | sort -n | tail -n 1)
  [ "${is:-99}" -ge "${wants:-0}" ] || refuse "the package needs glibc 2.$wants, and the VM has 2.$is"
}
dependencies() {
  installed >"$d/installed"
  for f in Pre-Depends Depends; do dpkg-deb -f "$S/run/package" "$f" && say ,; done 2>/dev/null >"$d/depends"
  unmet=$({ tr '\n' ' ' <"$d/depends" && say ''; } | tr ',' '\n' | sed 's/^ *//; s/ *$//; /^$/d' |
    while IFS= read -r wants; do met "$wants" || printf '%s, ' "$wants"; done)
  [ -n "$unmet" ] || return 0
  names=$(printf %s "$unmet" | sed 's/ *[|][^,]*//g; s/ *([^)]*)//g; s/:[a-z0-9]*//g; s/,//g')
  refuse "the package depends on what the VM does not have: ${unmet%, }. Install it first, e.g. by apt-get install ${names% }"
}
installed() {
  dpkg-query -W -f '${db:Status-Status}\t${Package}\t${Version}\t${Provides}\n' | awk -F '\t' '
    $1 != "installed" && $1 !~ /^triggers-/ { next }
    { print $2, $3; n = split($4, all, ", *") }
    { for (i = 1; i <= n; i++) { split(all[i], one, /[ ()=]+/); sub(/:.*/, "", one[1]); print one[1], (one[2] == "" ? "-" : one[2]) } }'
}
met() {
  say "$1" | tr '|' '\n' | sed 's/^ *//; s/[()]/ /g; s/\([<>=]\)\([^<>= ]\)/\1 \2/' | {
    while read -r name relation version; do
      ! here "${name%%:*}" "$relation" "$version" || exit 0
    done
    exit 1
  }
}
here() {
  awk -v name="$1" '$1 == name { print $2 }' "$d/installed" | {
    while read -r is; do
      if [ -z "$2" ]; then exit 0; fi
      [ "$is" = - ] || ! dpkg --compare-versions "$is" "$2" "$3" || exit 0
    done
    exit 1
  }
}
lacks() {
  if has url; then ! wanted; return; fi
  v=$(version)
  has release && { [ -z "$v" ] || { has version && [ "$v" != "$(field version | sed 's/-//')" ]; }; }
}
outward() {
  host=$(field control-plane) host=${host%:*} host=${host#'['} host=${host%']'}
  for to in $(field hosts | cut -d ' ' -f 1) $(getent ahosts "$host" 2>/dev/null | cut -d ' ' -f 1) 192.0.2.1 2001:db8::1; do
    ip -o route get "$to" 2>/dev/null
  done |
    sed -n 's/.* src \([0-9a-f.:]*\).*/\1/p' | head -n 1
}
released() {
  if have dpkg; then f=deb; else f=rpm; fi
  case $(uname -m) in aarch64 | arm64) f=$f/istio-sidecar-arm64.$f ;; *) f=$f/istio-sidecar.$f ;; esac
  { field release && printf /%s "$f"; } >"$d/in/url"
  fetch "$(field url).sha256" "$d/sum" 16 || refuse "there is no $(field url).sha256 for this VM" || return 1
  read -r sum _ <"$d/sum"
  case $sum in *[!0-9a-f]*) sum= ;; esac
  [ "${#sum}" = 64 ] || refuse "$(field url).sha256 holds no SHA-256" || return 1
  printf %s "$sum" >"$d/in/sha256"
}
bounded() {
  what=$1 && shift
  timeout "$(field wait.fetch)" "$@" && return 0
  code=$?
  case $code in
  124 | 143) say "$what did not come within $(field wait.fetch) seconds" >&2 ;;
  153) say "$what is too large" >&2 ;; # the signal of ulimit
  esac
  return "$code"
}
fetch() {
  u=$1
  case $u in
  file://*) cp "${u#file://}" "$2" ;;
  https://*) load "$2" "${3:-$HEAVIEST}" =https -e use_proxy=on -e no_proxy= -e http_proxy=ftp://none -e ftp_proxy=https://none ;;
  http://*) load "$2" "${3:-$HEAVIEST}" =http,https ;;
  *) refuse "cannot fetch ${u%%:*}: addresses" ;;
  esac
}
load() {
  file=$1 most=$2 protocols=$3
  shift 3
  if have curl; then
    say "url = \"$(say "$u" | sed 's/[\\"]/\\&/g')\"" | (
      ulimit -f "$most"
      bounded 'the package' curl -fsSL --proto =http,https --proto-redir "$protocols" --retry 2 --connect-timeout 10 \
        --speed-limit 1 --speed-time 60 -o "$file" -K -
    )
  else
    say "$u" | (
      ulimit -f "$most"
      bounded 'the package' wget -nv --tries=3 -T 30 "$@" -O "$file" -i - 2>"$d/wget"
    )
  fi
  code=$?
  if have curl; then
    [ "$code" != 1 ] || escaped
  elif [ "$code" != 0 ]; then
    ! grep -q 'Must be HTTP' "$d/wget" || escaped
    grep -v :// "$d/wget" >&2
  fi
  return "$code"
}
escaped() { say 'its address leads from https:// to something else than https://, which is refused' >&2; }
version() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Status} ${Version}' istio-sidecar 2>/dev/null | sed -n 's/^installed //p'
  elif have rpm; then rpm -q --qf '%{VERSION}' istio-sidecar 2>/dev/null | grep -v ' '; fi
}
do_install() {
  id istio-proxy >/dev/null 2>&1 || : >"$S/run/user"
  [ "$(engine)" = "$(field engine)" ] || rm -f "$UNITS/multi-user.target.wants/istio.service" # it may lead to the other's unit
  if has engine; then do_contain; return; fi
  [ ! -e "$S/engine" ] || rm -f "$UNITS/istio.service" "$S/engine" "$S/image" "$S/proxy" || return 1
  if [ -e "$S/run/package" ]; then
    if [ -z "$(version)" ]; then : >"$S/run/fresh" && : >"$S/installed"; else
      for f in $(packaged); do remember "$S/run/keep" "$f" || return 1; done
    fi
    remember "$S/run/keep" "$S/package" && hold && unpack && say "$(field sha256) $(version)" >"$S/package" || return 1
  fi
  own
}
packaged() { say "$BIN/envoy" "$BIN/pilot-agent" "$BIN/istio-start.sh" /var/lib/istio/envoy/envoy_bootstrap_tmpl.json "$(fragment)"; }
fragment() { systemctl show -p FragmentPath istio.service 2>/dev/null | sed -n 's/^FragmentPath=//p'; }
unpack() {
  if await "$PACKAGE" eval 'unpacked || recalled' && [ "$(cat "$d/code")" = 0 ]; then return 0; fi
  refuse "$(cat "$d/out")"
}
locked() { [ "$(cat "$d/code")" != 0 ] && grep -qiE '(is|was) locked by|transaction lock' "$d/out"; }
unpacked() {
  (
    umask 022 && exec 9>&- </dev/null
    if have dpkg; then DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold -i "$S/run/package"
    else rpm -U --replacepkgs --oldpackage "$S/run/package"; fi
  ) >"$d/out" 2>&1
  say $? >"$d/code"
  ! locked
}
own() {
  for f in /var/lib/istio /var/lib/istio/envoy /var/lib/istio/config /var/lib/istio/bin /var/lib/istio/envoy/*.env /var/lib/istio/proxy; do
    if [ -d "$f" ]; then mode=0755; elif [ -f "$f" ]; then mode=0644; else continue; fi
    [ ! -h "$f" ] || [ "$f" = /var/lib/istio ] || refuse "$f is a link: whoever made it would choose what becomes root's" || return 1
    [ "$f" != /var/lib/istio/proxy ] || continue
    if [ -f "$f" ] && [ "$(stat -c %h "$f")" != 1 ]; then
      [ "$(stat -c %u "$f")" != 0 ] || continue
      refuse "$f is another name of somebody's file, which would become root's"
      return 1
    fi
    chown root:root "$f" && chmod "$mode" "$f" || return 1
  done
  if has tproxy; then chgrp istio-proxy "$BIN/envoy" "$BIN/pilot-agent" && chmod 2755 "$BIN/envoy" "$BIN/pilot-agent" || return 1; fi
  grant /var/lib/istio/proxy /etc/certs "$LOG" || return 1
  has tproxy || hand_over
}
undo_install() {
  if [ -e "$S/run/fresh" ]; then uninstall && restore "$S/run/keep"; else
    repair
    restore "$S/run/keep" || return 1
    [ ! -e "$S/run/keep/set$BIN/pilot-agent" ] || { : >"$S/package" && say "istio-sidecar $(version) is registered, with the files of before" | lines; }
  fi && { [ ! -e "$S/run/user" ] || drop_user; }
}
uninstall() {
  repair
  if ! await "$PACKAGE" purged || registered; then
    refuse "the package did not go away
$(cat "$d/out")"
    return 1
  fi
  (umask 022 && folder "$BIN") # the package manager takes even that away, once it is empty
  rm -f "$S/installed" "$S/package" /etc/systemd/system/*.wants/istio.service
  systemctl daemon-reload
}
repair() {
  if [ -e "$S/run/package" ] && torn; then unpack 2>"$d/repair" || lines <"$d/repair"; fi
  { packaged && printf '%s\n' /lib/systemd/system/istio.service /var/lib/istio/envoy/sidecar.env && parts; } | while IFS= read -r f; do
    [ -z "$f" ] || rm -f "$f.dpkg-new" "$f.dpkg-tmp" "$f;"*
  done
}
parts() { have dpkg || rpm -qpl "$S/run/package" 2>/dev/null; }
torn() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Eflag} ${db:Status-Status}\n' istio-sidecar 2>/dev/null | grep -qE '^reinstreq|half-|unpacked$'
  else [ "$(rpm -q istio-sidecar 2>/dev/null | grep -c '^istio-sidecar')" != 1 ]; fi
}
drop_user() {
  if [ ! -e "$S/found/user" ] && id istio-proxy >/dev/null 2>&1; then
    if have userdel; then userdel istio-proxy; else deluser istio-proxy; fi >/dev/null 2>&1
    if have groupdel; then groupdel istio-proxy; else delgroup istio-proxy; fi >/dev/null 2>&1
  fi
  return 0
}
purged() {
  set --
  ! torn || set -- --force-remove-reinstreq
  if have dpkg; then dpkg "$@" --purge istio-sidecar; elif have rpm; then rpm -e --allmatches istio-sidecar; fi >"$d/out" 2>&1 9>&- </dev/null
  say $? >"$d/code"
  ! locked
}
registered() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Status}' istio-sidecar 2>/dev/null | grep -qv '^not-installed'
  else have rpm && rpm -q istio-sidecar >/dev/null 2>&1; fi
}
do_keep() {
  k=$S/run/keep
  folder "$k" && rm -f "$R/token-before" "$S/found/paths.new" "$S/found/modes.new"
  [ ! -e "$TOKEN" ] || lift "$TOKEN" "$R/token-before" || return 1
  unit_before >"$S/run/unit" || return 1
  if [ -e "$S/guard" ] && intact && [ "$(field tproxy)" = "$(transparent)" ]; then : >"$S/run/proven"; fi
  { [ ! -e "$HOSTS" ] || block; } >"$k/hosts" || return 1
  for f in "$d"/in/file.*.path; do
    [ ! -e "$f" ] || { path=$(cat "$f") && remember "$k" "$path" && remember "$S/found" "$path"; } || return 1
  done
  [ ! -e "$S/files" ] || while IFS= read -r path; do remember "$k" "$path" || return 1; done <"$S/files"
  for f in "$CERTS/key.pem" "$CERTS/cert-chain.pem" "$DROP/mesh.conf" "$ROTATE"; do
    remember "$k" "$f" && remember "$S/found" "$f" || return 1
  done
  remember "$k" "$UNITS/istio.service" && remember "$S/found" "$UNITS/istio.service" || return 1
  for f in owner files sums modes jumps guard bin/sudo engine image proxy installed package; do remember "$k" "$S/$f" || return 1; done
  for f in "$LOG/istio.log" "$LOG/istio.err.log" /var/lib/istio/proxy/grpc-bootstrap.json /var/lib/istio/proxy/envoy-rev.json /var/lib/istio/proxy/XDS; do
    [ -e "$f" ] || remember "$S/found" "$f" || return 1; done
  keep_modes || return 1
  hold
}
unit_before() {
  ! running || say active || return 1
  before=$(systemctl is-enabled istio.service 2>/dev/null)
  [ -z "$before" ] || say "$before"
}
keep_modes() {
  for f in /var/lib/istio /var/lib/istio/envoy /var/lib/istio/envoy/*.env /var/lib/istio/config /var/lib/istio/bin \
    /var/lib/istio/proxy /etc/certs "$LOG" "${TOKEN%/*/*}" "$BIN/envoy" "$BIN/pilot-agent"; do
    [ ! -e "$f" ] || stat -c '%u:%g %a %n' "$f" || return 1
  done >"$k/modes"
  if [ ! -e "$S/found/modes" ]; then
    if id istio-proxy >/dev/null 2>&1; then : >"$S/found/user"; fi
    cp "$k/modes" "$S/found/modes.new" || return 1
  fi
}
hold() {
  flush "$S" || return 1
  for f in run/keep/paths found/paths found/modes; do
    [ ! -e "$S/$f.new" ] || mv -f "$S/$f.new" "$S/$f" || return 1
  done
  flush "$S"
}
transparent() { ! grep -qsx 'ISTIO_INBOUND_INTERCEPTION_MODE=TPROXY' /var/lib/istio/envoy/cluster.env || printf yes; }
remember() {
  if grep -qxF "$2" "$1/paths" 2>/dev/null || grep -qxF "$2" "$1/paths.new" 2>/dev/null; then return 0; fi
  rm -rf "$1/set$2" || return 1
  if [ -e "$2" ] || [ -h "$2" ]; then
    folder "$1/set${2%/*}" || return 1
    if closed "${2%/*}"; then cp -a "$2" "$1/set$2"; else retain "$2" "$1/set$2"; fi || return 1
  fi
  [ -e "$1/paths.new" ] || [ ! -e "$1/paths" ] || cp "$1/paths" "$1/paths.new" || return 1
  say "$2" >>"$1/paths.new"
}
restore() {
  [ -e "$1/paths" ] || return 0
  whole=1
  while IFS= read -r path; do
    if [ ! -e "$1/set$path" ] && [ ! -h "$1/set$path" ]; then rm -f "$path" || whole=; continue; fi
    ! same "$1/set$path" "$path" || continue
    folder "${path%/*}" || whole=
    if [ -e "${path%/*}" ] && ! closed "${path%/*}"; then bring_back "$1/set$path" "$path" || whole=; continue; fi
    { rm -rf "$path.mesh" && { twin "$1/set$path" "$path.mesh" || cp -a "$1/set$path" "$path.mesh"; } && mv -fT "$path.mesh" "$path"; } || whole=
  done <"$1/paths"
  [ ! -e "$1/modes" ] || while read -r who mode path; do
    if [ "$path" = "${S%/*}" ] || [ ! -e "$path" ] || [ -h "$path" ] || ! closed "${path%/*}"; then continue; fi
    { chown "$who" "$path" && chmod "$mode" "$path"; } || whole=
  done <"$1/modes"
  [ -n "$whole" ]
}
bring_back() {
  humbly rm -rf "$2.mesh" </dev/null
  if [ -h "$1" ]; then humbly ln -sfn "$(readlink "$1")" "$2" </dev/null
  elif twin "$1" "$2.mesh"; then mv -fT "$2.mesh" "$2"
  else lay "$1" "$2" "$(stat -c %a "$1")"; fi
}
twin() { [ ! -h "$1" ] && ln -T "$1" "$2" 2>/dev/null; }
same() { [ "$(stat -c %d:%i "$1")" = "$(stat -c %d:%i "$2" 2>/dev/null)" ]; }
put() {
  (umask 022 && folder "${2%/*}") || return 1
  if closed "${2%/*}"; then
    rm -rf "$2.mesh" && cp "$1" "$2.mesh" && chown "$3:$3" "$2.mesh" && chmod "$4" "$2.mesh" && mv -fT "$2.mesh" "$2" || return 1
  elif [ "$3" = istio-proxy ]; then lay "$1" "$2" "$4" || return 1
  else
    refuse "${2%/*} is not root's alone, so a file there cannot be"
    return 1
  fi
  if have restorecon; then restorecon "$2" 2>/dev/null; fi
  return 0
}
unit() { [ -e "$(fragment)" ]; }
running() { case $(systemctl is-active istio.service 2>/dev/null) in active | activating | reloading) ;; *) return 1 ;; esac; }
do_stop() { drain && halt; }
drain() { if running; then calm || await "$(field wait.drain)" eval 'calm || recalled' || say 'requests were still under way when the proxy stopped' | lines; fi; }
calm() {
  asked=$(requests)
  [ "$asked" = "${calm:-}" ] || { calm=$asked calm_since=$(uptime); }
  case $asked in '' | '0 '*) [ "$(uptime)" -ge $((calm_since + 2)) ] ;; *) return 1 ;; esac
}
requests() {
  agent request GET clusters 2>/dev/null |
    awk -F :: '/^inbound[|]/ && $3 == "rq_active" { now += $4 } /^inbound[|]/ && $3 == "rq_total" { all += $4 } END { print now + 0, all + 0 }'
}
halt() {
  if unit && ! systemctl stop istio.service; then case $(systemctl is-active istio.service) in inactive | failed) ;; *) return 1 ;; esac; fi
  [ ! -e "$S/engine" ] || contain rm -f istio-proxy >/dev/null 2>&1
  sweep "$ISTIOS" && unroute
}
undo_stop() {
  systemctl daemon-reload
  [ -n "$(transparent)" ] || ! id istio-proxy >/dev/null 2>&1 || hand_over
  ! grep -qx enabled "$S/run/unit" || systemctl -q enable istio.service
  ! grep -qx active "$S/run/unit" || systemctl $NOW restart istio.service || { cat "$d/err"; say 'the proxy of before does not start'; } | lines
}
do_track() {
  backend=
  if have iptables-legacy-save && iptables-legacy-save 2>/dev/null | grep -q '^-A'; then backend=-legacy
  elif have iptables-nft; then backend=-nft
  elif have iptables-legacy; then backend=-legacy; fi
  if has engine; then rm -f "$S/bin/sudo"; else shim || return 1; fi
  if [ "$(field redirect)" = yes ]; then guard; else rm -f "$S/guard" && sweep "$OURS"; fi || return 1
  dropin >"$d/dropin" && put "$d/dropin" "$DROP/mesh.conf" root 0644
}
undo_track() { restore "$S/run/keep" && { [ -e "$S/guard" ] || sweep "$OURS"; }; }
dropin() {
  printf '%s\n' '[Unit]' 'Wants=network-online.target' 'After=network-online.target docker.service' '[Service]'
  say "Environment=PROXY_UID=$(id -u istio-proxy) PROXY_GID=$(id -g istio-proxy)"
  [ -z "$backend" ] || say "Environment=FORCE_IPTABLES_BINARY=${backend#-}"
  [ ! -e "$S/bin/sudo" ] || say "Environment=PATH=$S/bin:$PATH"
  [ ! -s "$d/block" ] || say "ExecStartPre=-+/bin/sh -c 'grep -qx \"# BEGIN mesh-vm\" $HOSTS || { echo \"# BEGIN mesh-vm\"; echo \"$(cat "$d/block")\"; echo \"# END mesh-vm\"; } >>$HOSTS'"
  if has tproxy; then say "ExecStartPre=-+/bin/sh -c 'while ip rule del fwmark 0x539 lookup 133 2>/dev/null; do :; done'"; fi
  [ -e "$S/guard" ] || return 0
  say "ExecStartPre=+/bin/sh -c '$(rules "iptables$backend")'"
  say "ExecStartPre=-+/bin/sh -c '$(rules "ip6tables$backend")'"
  say "ExecStartPre=-+/bin/sh -c 'grep -q 1 $LOOSE || echo 1 >$LOOSE'"
}
shim() {
  if ! switches; then
    rm -f "$S/bin/sudo"
    sudo_ok istio-proxy || refuse 'there is no setpriv of util-linux, and sudo -E does not keep the environment'
    return
  fi
  folder "$S/bin" || return 1
  sudo_script >"$S/bin/sudo" && chmod 0700 "$S/bin/sudo"
}
do_start() {
  if unproven; then
    systemctl -q disable istio.service 2>/dev/null; disarm
    systemd-run --quiet --collect --unit=mesh-vm-deadman --timer-property=AccuracySec=1s \
      --on-active=$(($(field wait.ready) + $(field wait.verdict) + 30))s /bin/sh "$d/program" mend "$d" || return 1
  fi
  mark
  systemctl daemon-reload && systemctl restart istio.service
}
undo_start() { disarm; systemctl -q disable istio.service 2>/dev/null; halt; }
disarm() { systemctl stop mesh-vm-deadman.timer 2>/dev/null; }
ready() { agent wait --url http://127.0.0.1:15021/healthz/ready --timeoutSeconds 1 >/dev/null 2>&1; }
do_ready() { await "$(field wait.ready)" eval 'certified || recalled' && ! recalled; }
certified() { [ -s "$CERTS/cert-chain.pem" ] && ready; }
ISTIOS='ISTIO_INBOUND ISTIO_IN_REDIRECT ISTIO_REDIRECT ISTIO_OUTPUT ISTIO_OUTPUT_DNS ISTIO_DIVERT ISTIO_TPROXY ISTIO_DROP'
AWK='
  function set(names, into, list, n) { n = split(names, list, " "); while (n) into[list[n--]] = 1 }
  function target(rule, word, n, i) {
    gsub(/"([^"\\]|\\.)*"/, "", rule)
    n = split(rule, word, " ")
    for (i = 3; i < n; i++) if (word[i] == "-j" || word[i] == "-g") return word[i + 1]
    return ""
  }'
tools() {
  for f in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do ! have "$f-save" || say "$f"; done
  have iptables-nft-save || have iptables-legacy-save ||
    for f in iptables ip6tables; do ! have "$f-save" || say "$f"; done
}
sweep() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v names="$1" -v only="${2:-}" "$AWK"'
      BEGIN { set(names, chains) }
      /^[*]/ { table = $1; jumps = flush = old = "" }
      /^:/ && substr($1, 2) in chains { chain = substr($1, 2); flush = flush "-F " chain "\n"; old = old "-X " chain "\n" }
      /^-A / && !($2 in chains) && target($0) in chains { sub(/^-A/, "-D"); jumps = jumps $0 "\n" }
      /^COMMIT/ { if (old != "" && (only == "" || table == "*" only)) printf "%s\n%s%s%sCOMMIT\n", table, jumps, flush, old }' >"$d/sweep"
    [ ! -s "$d/sweep" ] || restore_rules "$tool" "$d/sweep" || return 1
  done
}
restore_rules() { timeout 60 "$1-restore" -w --noflush <"$2" || "$1-restore" --noflush <"$2"; }
unroute() {
  for family in -4 -6; do
    while ip "$family" rule del fwmark 0x539 lookup 133; do ip "$family" route flush table 133; done
  done 2>/dev/null
  :
}
jumps() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v tool="$tool" -v names="$OURS $ISTIOS" "$AWK"'
      BEGIN {
        sub(/^iptables-?/, "", tool); sub(/^ip6tables-?/, "6", tool)
        set(names, known); set("PREROUTING INPUT FORWARD OUTPUT POSTROUTING", built_in)
        set("ISTIO_OUTPUT/ISTIO_REDIRECT ISTIO_INBOUND/ISTIO_IN_REDIRECT ISTIO_INBOUND/ISTIO_DIVERT ISTIO_INBOUND/ISTIO_TPROXY", last)
      }
      /^[*]/ { table = substr($1, 2); n = 0; split("", ruled); split("", useless) }
      /^-A / {
        ruled[$2] = 1
        chain = target($0)
        if (chain in known) { n++; from[n] = $2; to[n] = chain }
      }
      /^COMMIT/ {
        for (i = 1; i <= n; i++) if (((from[i] "/" to[i]) in last) && !(to[i] in ruled)) useless[from[i]] = 1
        for (i = 1; i <= n; i++) if ((from[i] in built_in) && (to[i] in ruled) && !(to[i] in useless)) print tool "/" table "/" from[i] "/" to[i]
      }'
  done | sort -u
}
families() { jumps | sed -e 's:^6[^/]*/:6/:' -e t -e 's:^[^/]*/:4/:' | sort -u; }
order() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v tool="$tool" -v names="$OURS" -v istios="$ISTIOS" "$AWK"'
      BEGIN { family = tool ~ /^ip6/ ? 6 : 4; set(names, ours); set(istios, known) }
      /^[*]/ { table = $1 }
      /^:/ && $2 == "-" { chains[substr($1, 2)] = 1 }
      table == "*nat" && /^-A PREROUTING / {
        chain = target($0)
        if (!(chain in chains) || chain in ours) next
        for (i = 1; i <= n; i++) if ((before[i] in known) != (chain in known)) print family "/nat/PREROUTING/" before[i] "/" chain
        before[++n] = chain
      }'
  done | sort -u
}
lost() {
  [ -e "$S/jumps" ] || return 0
  { { families; order; } | sed 's/^/is /'; sed 's/^/was /' "$S/jumps"; } |
    awk '
      $1 == "is" { is[$2] = 1; next }
      split($2, part, "/") < 5 { if (!($2 in is)) print $2; next }
      (part[1] "/" part[2] "/" part[3] "/" part[5] "/" part[4]) in is { print $2 }' |
    if [ -n "$(global6)" ]; then cat; else grep -v ^6; fi
}
intercepts() { families | grep -qx "$1/nat/OUTPUT/ISTIO_OUTPUT"; }
intact() { intercepts 4 && families | grep -qE '^4/(nat|mangle)/PREROUTING/ISTIO_INBOUND$' && [ -z "$(lost)" ]; }
global6() { ip -6 -o address show scope global 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }'; }
bypass() { [ "$(field redirect)" != yes ] || intercepts 6 || global6; }
published() {
  [ "$(field redirect)" != yes ] || for f in $(tools | grep ^iptables); do "$f-save" -t nat 2>/dev/null; done |
    awk -v names="$OURS $ISTIOS" "$AWK"'
      BEGIN { set(names, known) }
      $1 == "-A" && !($2 in known) && target($0) == "DNAT" && !/ -d 127[.]/ && match($0, /--dport [0-9]+/) { print substr($0, RSTART + 8, RLENGTH - 8) }' |
    sort -nu | tr '\n' ' '
}
guard() {
  ports=$(sshd_ports)
  {
    printf '%s\n' '*mangle' ':MESH_TRACK - [0:0]' '-A MESH_TRACK -m conntrack --ctstate NEW'
    if has tproxy; then
      say ':MESH_IN - [0:0]'
      for f in $ports; do say "-A MESH_IN -p tcp --dport $f -j ACCEPT"; done
    fi
    printf '%s\n' COMMIT '*nat' ':MESH_IN - [0:0]' \
      ':MESH_OUT - [0:0]' '-A MESH_IN -p tcp ! --syn -j ACCEPT' '-A MESH_OUT -p tcp ! --syn -j ACCEPT'
    for f in $ports; do
      say "-A MESH_IN -p tcp --dport $f -j ACCEPT"
      say "-A MESH_OUT -p tcp --sport $f -j ACCEPT"
    done
    say COMMIT
  } >"$S/guard" || return 1
  sweep MESH_IN mangle || return 1
  timeout 60 sh -c "$(rules "iptables$backend")" || return 1
  timeout 60 sh -c "$(rules "ip6tables$backend")" 2>/dev/null
  grep -q 1 "$LOOSE" 2>/dev/null || { cat "$LOOSE" >"$S/loose" && say 1 >"$LOOSE"; } 2>/dev/null || :
}
rules() {
  printf '%s' "{ $1-restore -w --noflush <$S/guard || $1-restore --noflush <$S/guard; }"
  jump "$1" mangle -I 'OUTPUT -j MESH_TRACK'
  if has tproxy; then jump "$1" mangle -A 'PREROUTING -j MESH_IN'; fi
  jump "$1" nat -I 'OUTPUT -j MESH_OUT'
  jump "$1" nat -I 'PREROUTING -j MESH_IN'
}
jump() { printf '%s' " && { $1 -w -t $2 -C $4 2>/dev/null || $1 -w -t $2 $3 $4; }"; }
sshd_ports() {
  {
    sshd -T 2>/dev/null | awk '$1 == "port" { print $2 }'
    systemctl show -p Listen ssh.socket sshd.socket 2>/dev/null | sed -n 's/.*:\([0-9]*\) (Stream).*/\1/p'
    sockets >"$d/sockets"
    f=$(cut -d ' ' -f 3 "$d/sockets" | sort -u | while read -r pid; do ! serves_one "$pid" || say "$pid"; done)
    served "$f" "$(above "$(cat "$d/follower" 2>/dev/null)")" <"$d/sockets"
  } | grep -x '[0-9]*' | sort -un
}
sockets() {
  ss -Htanp | awk '{
      port = $4
      sub(/.*:/, "", port)
      if ($1 == "LISTEN") print $1, port, 0, 0
      n = split($0, holder, /\("/)
      for (i = 2; i <= n; i++) if (holder[i] ~ /^(sshd|dropbear)/ && match(holder[i], /pid=[0-9]+,fd=[0-9]+/)) {
        split(substr(holder[i], RSTART, RLENGTH), of, /[=,]/)
        print $1, port, of[2], of[4]
      }
    }'
}
served() {
  awk -v sessions="$(say "$1" | tr '\n' ' ')" -v ours="$(say "$2" | tr '\n' ' ')" "$AWK"'
    BEGIN { set(sessions, session); set(ours, own) }
    $1 == "LISTEN" && $3 in session { forwarded[$2] = 1 }
    $1 == "LISTEN" { listens[$2] = 1 }
    $1 == "LISTEN" && $3 && !($3 in session) { print $2 }
    $1 == "ESTAB" && $3 in session && (!($3 in port) || $4 + 0 < lowest[$3]) { lowest[$3] = $4 + 0; port[$3] = $2 }
    END { for (pid in port) if (!(port[pid] in forwarded) && (pid in own || port[pid] in listens)) print port[pid] }'
}
serves_one() {
  [ "$1" != 0 ] || return 1
  case $(tr '\0' ' ' 2>/dev/null <"$PROC/$1/cmdline") in
  *'[listener]'*) return 1 ;;
  'sshd: '* | sshd-session* | sshd-auth*) return 0 ;;
  esac
  case $(cat "$PROC/$(parent "$1")/comm" 2>/dev/null) in sshd* | dropbear*) return 0 ;; esac
  return 1
}
parent() { awk '$1 == "PPid:" { print $2 }' "$PROC/$1/status" 2>/dev/null; }
above() {
  pid=$1
  while [ "${pid:-0}" -gt 1 ]; do
    say "$pid"
    pid=$(parent "$pid")
  done
}
engine() { cat "$S/engine" 2>/dev/null; }
contain() { HOME=${HOME:-/root} "$(engine)" "$@"; }
agent() {
  if [ -e "$S/engine" ]; then HOME=${HOME:-/root} timeout 5 "$(engine)" exec istio-proxy /usr/local/bin/pilot-agent "$@"
  elif [ -x "$BIN/pilot-agent" ]; then timeout 5 "$BIN/pilot-agent" "$@"; else return 1; fi
}
engine_ok() {
  f=$(field engine)
  have "$f" || { say "$f is not installed"; return 1; }
  f=$(HOME=${HOME:-/root} timeout 20 "$f" info 2>&1) || { say "$f" | grep -iE 'error|cannot' | head -n 1; return 1; }
  field engine
}
pull() {
  f=$(field engine) name=$(field image)
  export HOME="${HOME:-/root}"
  [ "$(field pull)" = Always ] || ! "$f" image inspect "$name" >/dev/null 2>&1 || return 0
  [ "$(field pull)" != Never ] || refuse "the VM has no image $name, and pull_policy is Never" || return 1
  bounded "the image $name" "$f" pull --quiet "$name" >/dev/null </dev/null
}
do_contain() {
  switches || refuse 'there is no setpriv of util-linux, by which the proxy'\''s user writes its logs' || return 1
  if [ -e "$S/installed" ] && [ ! -e "$S/engine" ]; then
    for f in $(packaged); do remember "$S/run/keep" "$f" && say "$f" >>"$S/found/paths" || return 1; done
  fi
  hold || return 1
  (umask 022 && prepare) && own && field engine >"$S/engine" || return 1
  { contain image inspect -f '{{.Id}}' "$(field image)" && field image && say ''; } >"$S/image" || return 1
  printf '%s\n' '[Unit]' 'Description=The Istio proxy, in a container' 'Wants=docker.service' 'After=docker.service' 'StartLimitIntervalSec=0' \
    '[Service]' "ExecStart=/bin/sh $S/proxy start" "ExecStop=/bin/sh $S/proxy stop" "ExecStopPost=/bin/sh $S/proxy clean" \
    'Restart=always' 'RestartSec=10' 'KillMode=mixed' 'TimeoutStopSec=60s' '[Install]' 'WantedBy=multi-user.target' |
    if [ "$(engine)" = docker ]; then cat; else grep -v docker.service; fi >"$d/unit"
  proxy_script >"$S/proxy" && put "$d/unit" "$UNITS/istio.service" root 0644
}
prepare() {
  id istio-proxy >/dev/null 2>&1 || if have useradd; then useradd --system --user-group --home-dir /var/lib/istio --shell /usr/sbin/nologin istio-proxy
  else addgroup -S istio-proxy && adduser -S -D -H -h /var/lib/istio -G istio-proxy istio-proxy; fi || return 1
  folder /var/lib/istio/envoy && folder /var/lib/istio/config && { [ -e /etc/istio ] || ln -s /var/lib/istio /etc/istio; }
}
proxy_script() {
  cat <<'CARRIED'

# What root alone can exchange. Also before scripts in `carried`, which run without the program.
ROOT=0 # whose folders are safe
# Whether root alone says what lies at PATH: each folder above it is root's, and so is the folder of each link.
firm() {
  case $1 in '' | /) return 0 ;; esac
  closed "${1%/*}" || return 1
  [ ! -h "$1" ] || { [ -e "$1" ] && firm "$(leads_to "$1")"; }
}
# Whether root alone puts something into the folder PATH, or takes something out of it.
closed() {
  firm "$1" || return 1
  # shellcheck disable=SC2046 # three numbers
  set -- $(stat -L -c '%u %g %a' "${1:-/}" 2>/dev/null)
  case ${1:-} in 0 | "$ROOT") ;; *) return 1 ;; esac
  case $3 in
  [1357]???) ;; # as /tmp: who is not root takes out only what is their own
  *[2367]) return 1 ;;
  *[2367]?) [ "$2" = 0 ] || return 1 ;;
  esac
}
leads_to() {
  to=$(readlink "$1")
  case $to in
  /*) say "$to" ;;
  *) say "${1%/*}/$to" ;;
  esac
}
# at FOLDER COMMAND…: in the folder that lies there itself. What is done to plain names there leads nowhere else.
at() (
  cd "$1" 2>/dev/null || return 1
  [ "$(pwd -P)" = "$(cd "${1%/*}/" && pwd -P)/${1##*/}" ] || return 1
  shift
  "$@"
)
# grant FOLDER…: each is there and the proxy's user's. In place of `install -d`: that of uutils leaves them to root. A link
# is followed where it is root's, as to a disk for logs; others than root may write to /var/log.
grant() {
  for f in "$@"; do
    if [ -h "$f" ] && firm "$f"; then f=$(readlink -f "$f"); fi
    { [ -d "$f" ] || (umask 022 && mkdir -p "$f"); } && at "$f" eval 'chown istio-proxy:istio-proxy . && chmod 0755 .' ||
      refuse "$f cannot be made a folder of the proxy's" || return 1
  done
}

# Takes packet filter rules away. Also before `carried/proxy.sh`, which runs without the program.
# What Istio's agent makes: others may begin a name likewise.
ISTIOS='ISTIO_INBOUND ISTIO_IN_REDIRECT ISTIO_REDIRECT ISTIO_OUTPUT ISTIO_OUTPUT_DNS ISTIO_DIVERT ISTIO_TPROXY ISTIO_DROP'
# What every awk program below begins with: `target` returns the chain that a rule of `-save` jumps to. A comment may
# hold the text of a jump.
AWK='
  function set(names, into, list, n) { n = split(names, list, " "); while (n) into[list[n--]] = 1 }
  function target(rule, word, n, i) {
    gsub(/"([^"\\]|\\.)*"/, "", rule)
    n = split(rule, word, " ")
    for (i = 3; i < n; i++) if (word[i] == "-j" || word[i] == "-g") return word[i + 1]
    return ""
  }'
tools() {
  for f in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do ! have "$f-save" || say "$f"; done
  have iptables-nft-save || have iptables-legacy-save ||
    for f in iptables ip6tables; do ! have "$f-save" || say "$f"; done
}
# sweep CHAINS [TABLE]: deletes these chains and the jumps to them, in each backend. A jump is deleted by the text that
# the tool prints, for quotes and double spaces of a comment are part of it.
sweep() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v names="$1" -v only="${2:-}" "$AWK"'
      BEGIN { set(names, chains) }
      /^[*]/ { table = $1; jumps = flush = old = "" }
      /^:/ && substr($1, 2) in chains { chain = substr($1, 2); flush = flush "-F " chain "\n"; old = old "-X " chain "\n" }
      /^-A / && !($2 in chains) && target($0) in chains { sub(/^-A/, "-D"); jumps = jumps $0 "\n" }
      /^COMMIT/ { if (old != "" && (only == "" || table == "*" only)) printf "%s\n%s%s%sCOMMIT\n", table, jumps, flush, old }' >"$d/sweep"
    [ ! -s "$d/sweep" ] || restore_rules "$tool" "$d/sweep" || return 1
  done
}
# restore_rules TOOL FILE: others hold the lock for a moment, so it is waited for. Before version 1.6.2 nothing can wait.
restore_rules() { timeout 60 "$1-restore" -w --noflush <"$2" || "$1-restore" --noflush <"$2"; }
# Runs the Istio proxy in a container, as istio-start.sh starts it; values are in the environment, and only their names among
# the words. Written by mesh-vm; the unit istio calls it.
# `sh/closed.sh` and `sh/sweep.sh` stand before it.
# shellcheck disable=SC1090,SC2016,SC2034,SC2086,SC3057 # settings and lists of words; an inner shell
set -u
S=${0%/*} V=/var/lib/istio LOG=/var/log/istio CID=/run/istio-proxy.cid
export HOME="${HOME:-/root}"
engine=$(cat "$S/engine") && { read -r image && read -r name; } <"$S/image" || exit 1
say() { printf '%s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }
# It fails where the message cannot be written, too.
refuse() {
  say "$*" >&2
  return 1
}
# What the VM has is run, and nothing is pulled: when, is the matter of a bootstrap.
find_image() {
  if "$engine" image inspect "$image" >/dev/null 2>&1; then return 0; fi
  image=$name
  "$engine" image inspect "$image" >/dev/null && return 0
  refuse "error: the VM has no image $name (any more): pull it, or apply again"
}
never=
if "$engine" run --help 2>/dev/null | grep -qE -e '--pull [a-z]'; then never=--pull=never; fi
set -a
for f in "$V/envoy/sidecar.env" "$V/envoy/cluster.env"; do [ ! -r "$f" ] || . "$f"; done
INSTANCE_IP=${ISTIO_SVC_IP:-$(hostname -I | cut -d ' ' -f 1)}
POD_NAME=${POD_NAME:-$(hostname -s)} POD_NAMESPACE=${ISTIO_NAMESPACE:-default}
CA_ADDR=${CA_ADDR:-istiod.${ISTIO_SYSTEM_NAMESPACE:-istio-system}.svc:15012}
PROV_CERT=${PROV_CERT-./etc/certs} OUTPUT_CERTS=${OUTPUT_CERTS-./etc/certs}
PROXY_CONFIG=${PROXY_CONFIG:-"serviceCluster: ${ISTIO_SERVICE:-rawvm}
controlPlaneAuthPolicy: MUTUAL_TLS
"}
set +a
names=$(sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/--env \1/p' "$V"/envoy/*.env
  printf -- '--env %s\n' INSTANCE_IP POD_NAME POD_NAMESPACE CA_ADDR PROV_CERT OUTPUT_CERTS PROXY_CONFIG PROXY_UID PROXY_GID FORCE_IPTABLES_BINARY)
rules() {
  [ "${ISTIO_CUSTOM_IP_TABLES:-}" = true ] ||
    "$engine" run --rm $never --network host --userns host --cap-drop ALL --cap-add NET_ADMIN --cap-add NET_RAW --security-opt label=disable \
      --user 0:0 --log-driver none $names "$image" istio-iptables "$@"
}
# By the VM's own tools, which are there when the image is not any more.
clean() {
  [ "${ISTIO_CUSTOM_IP_TABLES:-}" != true ] || return 0
  if [ -z "$(tools)" ]; then
    find_image && rules --cleanup-only
    return
  fi
  d=$(mktemp -d) || return 1
  sweep "$ISTIOS"
  cleaned=$?
  rm -r "$d"
  return "$cleaned"
}
# The logs are the proxy's, in a folder where it may put a link in their place: so its user writes them, by a pipe of
# root's. Who cannot write goes on reading, since an engine that nobody reads from stands still.
keep_log() {
  rm -f "$CID.$1"
  mkfifo -m 0600 "$CID.$1" || exit 1
  setpriv --reuid "$(id -u istio-proxy)" --regid "$(id -g istio-proxy)" --clear-groups \
    /bin/sh -c 'cat >>"$1" 2>/dev/null || exec cat >/dev/null' sh "$2" <"$CID.$1" &
}
case $1 in
start)
  find_image || exit 1
  grant /var/run/secrets || exit 1
  keep_log out "$LOG/istio.log"
  keep_log err "$LOG/istio.err.log"
  "$engine" rm -f istio-proxy >/dev/null 2>&1
  rules --cleanup-only && rules || exit 1
  rm -f "$CID" # the engine makes it, and writes over none
  exec "$engine" run --rm $never --name istio-proxy --cidfile "$CID" --label "mesh-vm.image=$name" --network host --userns host --cap-drop ALL --security-opt label=disable \
    --user "$(id -u istio-proxy):$(id -g istio-proxy)" --log-driver none --volume "$V/config:/etc/istio/config:ro" --volume "$V/proxy:/etc/istio/proxy" \
    --volume /etc/certs:/etc/certs --volume /var/run/secrets:/var/run/secrets --volume "$LOG:$LOG" $names \
    "$image" proxy ${ISTIO_AGENT_FLAGS:-} >"$CID.out" 2>"$CID.err"
  ;;
stop) "$engine" stop --time 20 istio-proxy ;;
clean)
  rm -f "$CID" "$CID.out" "$CID.err"
  clean
  ;;
esac
CARRIED
}
sudo_script() {
  cat <<'CARRIED'
#!/bin/sh
# Starts the proxy as its user, in place of sudo. Users and groups of this machine only: a directory
# of them might have to be looked up, and names are answered by the proxy, once it runs.
while :; do
  case $1 in
  -E | -s) shift ;;
  -u) user=$2; shift 2 ;;
  *) break ;;
  esac
done
of() { awk -F : -v user="$user" -v column="$1" '$1 == user { print $column; exit }' /etc/passwd; }
uid=$(of 3)
gid=$(of 4)
HOME=${HOME:-$(of 6)}
if [ -z "$uid" ]; then
  uid=$(id -u "$user")
  gid=$(id -g "$user")
fi
groups=$(awk -F : -v user="$user" '{ n = split($4, of, ","); for (i = 1; i <= n; i++) if (of[i] == user) printf ",%s", $3 }' /etc/group)
export HOME USER="$user" LOGNAME="$user"
exec setpriv --reuid "$uid" --regid "$gid" --groups "$gid$groups" "$@"
CARRIED
}
do_ask() {
  log 'want token' && since=$(uptime)
  await "$(field wait.token)" eval 'answered || forsaken'
  [ ! -e "$d/refused" ] || refuse "what came as the token is $(cat "$d/refused")" || return 1
  [ -s "$d/token" ] || refuse 'no token came'
}
answered() { [ -s "$d/token" ] || [ -e "$d/refused" ] || [ -e "$d/revert" ]; }
forsaken() {
  ! attended "$d" || since=$(uptime)
  [ "$(uptime)" -ge $((since + ALONE)) ]
}
do_token() {
  rm -f "$CERTS/key.pem" "$CERTS/cert-chain.pem"
  grant "${TOKEN%/*/*}" && token_folder && lay "$d/token" "$TOKEN" 0600
}
token_folder() {
  f=${TOKEN%/*}
  [ ! -h "$f" ] || rm -f "$f" || return 1
  if [ -d "$f" ] && ! humbly test -w "$f"; then
    at "$f" rm -f "./${TOKEN##*/}"
    rmdir "$f" || return 1
  fi
  humbly sh -c 'umask 077 && mkdir -p "$1"' sh "$f"
}
undo_token() {
  if [ -s "$R/token-before" ]; then token_folder && lay "$R/token-before" "$TOKEN" 0600 || return 1
  else at "${TOKEN%/*}" rm -f "./${TOKEN##*/}"; fi
  restore "$S/run/keep"
}
do_place() {
  for f in "$d"/in/file.*.path; do [ ! -e "$f" ] || { cat "$f" && say ''; } || return 1; done >"$d/files"
  [ ! -e "$S/files" ] || while IFS= read -r path; do grep -qxF "$path" "$d/files" || rm -f "$path" || return 1; done <"$S/files"
  for f in "$d"/in/file.*.path; do
    [ -e "$f" ] || continue
    f=${f%.path}
    put "$f.content" "$(cat "$f.path")" "$(cat "$f.owner")" "$(cat "$f.mode")" || return 1
  done
  { ! has hosts || { field hosts && say ''; }; } | sed '/^$/d' >"$d/block" || return 1
  hosts "$d/block" && rotate && put "$d/files" "$S/files" root 0600 && put "$d/in/owner" "$S/owner" root 0600
}
rotate() {
  [ -d "${ROTATE%/*}" ] || return 0
  printf '%s\n' "$LOG/*.log {" '  su istio-proxy istio-proxy' '  daily' '  maxsize 100M' '  rotate 7' '  compress' '  copytruncate' \
    '  missingok' '  notifempty' '}' >"$d/rotate" && put "$d/rotate" "$ROTATE" root 0644
}
undo_place() { restore "$S/run/keep" && hosts "$S/run/keep/hosts"; }
block() { awk '/^# BEGIN mesh-vm$/ { n = 1; t = ""; next } /^# END mesh-vm$/ { if (n) printf "%s", t; n = 0 } { t = t $0 "\n" }' "$HOSTS"; }
with_block() {
  awk '/^# BEGIN mesh-vm$/ { n = NR } { l[NR] = $0 } /^# END mesh-vm$/ && n { for (i = n; i <= NR; i++) delete l[i]; n = 0 }
    END { for (i = 1; i <= NR; i++) if (i in l && l[i] != "# BEGIN mesh-vm") print l[i] }' "$HOSTS" &&
    { [ ! -s "$1" ] || { say '# BEGIN mesh-vm' && cat "$1" && say '# END mesh-vm'; }; }
}
hosts() {
  block | cmp -s - "$1" && return 0
  firm "$HOSTS" || refuse "$HOSTS is a link that others than root can exchange" || return 1
  real=$(readlink -f "$HOSTS")
  { cp -a "$real" "$real.mesh" && with_block "$1" >"$real.mesh"; } || { rm -f "$real.mesh"; return 1; }
  flush "$real.mesh" || return 1
  mv "$real.mesh" "$real" 2>/dev/null || { cat "$real.mesh" >"$real" && rm -f "$real.mesh"; }
}
run_remove() {
  if [ ! -e "$S/owner" ] && [ ! -e "$S/run/steps" ]; then
    unbegun
    finish removed
  fi
  ours || finish "foreign $(claim | b64)"
  log 'step stop' && hook stop
  systemctl -q disable istio.service 2>/dev/null; disarm
  { drain && halt && sweep "$OURS"; } 2>"$d/err" || serve_on
  log 'step clean' && hook clean
  : >"$d/block"
  at "${TOKEN%/*}" rm -f "./${TOKEN##*/}"
  { hosts "$d/block" && restore "$S/found"; } 2>"$d/err" || { log 'failed clean' && lines <"$d/err" && finish reverted; }
  [ ! -e "$S/loose" ] || cat "$S/loose" >"$LOOSE" 2>/dev/null
  log 'step uninstall' && hook uninstall
  { { [ ! -e "$S/installed" ] || uninstall; } && drop_user; } 2>"$d/err" || { log 'failed uninstall' && lines <"$d/err" && finish reverted; }
  systemctl reset-failed istio.service 2>/dev/null
  flush_all 2>"$d/err" || { log 'failed clean' && lines <"$d/err" && finish reverted; }
  forget
  left | head -n 20 | while IFS= read -r text; do log "left $(printf %s "$text" | b64)"; done
  flush_all 2>/dev/null
  finish removed
}
unbegun() {
  if [ -e "$S/found/dirs" ]; then
    forget
  elif [ -d "$S" ] && [ ! -e "$S/found/paths" ]; then
    close
    discard "$S"
    rmdir "${S%/*}" 2>/dev/null
  fi
}
serve_on() {
  log 'failed stop' && lines <"$d/err"
  { systemctl -q enable istio.service && systemctl start istio.service; } 2>/dev/null || finish 'halfway stop'
  finish reverted
}
ours() {
  claim >"$d/claim"
  [ -s "$d/claim" ] || return 0
  read -r theirs id <"$d/claim" # an empty uid leaves the id in its place
  field owner >"$d/owner" && read -r uid mine <"$d/owner"
  [ "${id:-$theirs}" = "${mine:-$uid}" ] && { [ "$theirs" = "$uid" ] || [ -z "$id" ] || [ -z "$mine" ]; }
}
forget() {
  gone=
  for f in $DIRS; do before "$f" || gone="$gone $f"; done
  above=$(owned_before)
  for f in $gone; do
    case $f in
    "$LOG") rm -f "$f"/istio.log[.-]* "$f"/istio.err.log[.-]* ;;
    "${TOKEN%/*}") at "$f" rm -f "./${TOKEN##*/}" ;;
    "$SDS") at "$f" rm -f ./socket ;;
    esac
    if [ -h "$f" ]; then rm -f "$f"; else rmdir "$f" 2>/dev/null; fi
  done
  close
  discard "$S"
  case " $gone " in *" ${S%/*} "*) rmdir "${S%/*}" 2>/dev/null ;; esac
  give_back $above
  systemctl daemon-reload 2>/dev/null
}
before() {
  grep -qxF "$1" "$S/found/dirs" 2>/dev/null && return 0
  ! grep -qx all "$S/found/dirs" 2>/dev/null && grep -qxF "${1%/*}" "$S/found/dirs" 2>/dev/null
}
left() {
  for f in $gone; do
    [ -d "$f" ] || continue
    for inner in "$f"/* "$f"/.[!.]*; do
      case " $gone " in *" $inner "*) continue ;; esac
      if [ -e "$inner" ] || [ -h "$inner" ]; then say "$inner"; fi
    done
  done
  for f in "$S" "$R/token-before"; do
    if [ -e "$f" ] || [ -h "$f" ]; then say "$f"; fi
  done
}
verb_check() { checks; say 'report checked'; }
verb_observe() {
  v=$(claim)
  [ -z "$v" ] || say "owner $(say "$v" | b64)"
  for f in "$d"/in/file.*.path; do
    [ -e "$f" ] || continue
    path=$(cat "$f")
    say "file $(b64 <"$f") $(seen "$path")"
  done
  [ ! -e "$S/sums" ] || strange | sort -u | while IFS= read -r text; do say "changed $(printf %s "$text" | b64)"; done
  missing_image 2>/dev/null | while IFS= read -r text; do say "changed $(printf %s "$text" | b64)"; done
  [ -z "$suspect" ] || say "changed $(printf %s "$suspect" | b64)"
  if [ -e "$S/sums" ] && [ -e "$ENVOY" ] && ! closed "$ENVOY"; then say "changed $(printf %s "$ENVOY" | b64)"; fi
  [ ! -e "$S/modes" ] || opened | while IFS= read -r text; do say "changed $(printf %s "$text" | b64)"; done
  block | while IFS= read -r text; do say "hosts $(printf %s "$text" | b64)"; done
  unit && say "unit $(systemctl is-active istio.service) $(systemctl is-enabled istio.service 2>/dev/null)"
  identity
  ready && say 'ready yes'
  jumps | sed 's/^/jump /'
  lost | sed 's/^/lost /'
  if [ -d "$S/run" ] && ! ended; then
    v=$(last_step)
    say "unfinished ${v:-keep}"
  elif [ -e "$S/owner" ] && ! marked >/dev/null; then say 'unfinished place'; fi
  say 'report observed'
}
seen() {
  if [ ! -e "$1" ] && [ ! -h "$1" ]; then say missing
  elif found=$(peek "$1" sh -c 'stat -L -c "%U %a" /proc/self/fd/0 && head -c "$1" | base64' sh "$LARGEST"); then
    say "$found" | { read -r access && printf '%s ' "$access" && tr -d '\n' && say ''; }
  else say "odd $({ odd "$1" || say 'changes while it is read'; } | b64)"; fi
}
strange() {
  sums | cat - "$S/sums" | sort | uniq -u | cut -c 67- | while IFS= read -r text; do
    unlisted "$text" || say "$text"
  done
  [ ! -e "$S/engine" ] || [ ! -e "$CID" ] || ! v=$(contain inspect -f '{{.Id}}' istio-proxy 2>/dev/null) || [ "$v" = "$(cat "$CID")" ] || say 'the container istio-proxy'
}
missing_image() {
  [ -e "$S/engine" ] && { read -r id && read -r name; } <"$S/image" || return 0
  if contain image inspect "$id" >/dev/null 2>&1 || contain image inspect "$name" >/dev/null 2>&1; then return 0; fi
  ! contain images --quiet >/dev/null 2>&1 || say "the image $name"
}
unlisted() { own_parts | grep -qxF "$1" && ! cut -c 67- "$S/sums" | grep -qxF "$1"; }
opened() {
  while read -r who mode path; do
    is=$(stat -L -c '%U:%G %a' "$path" 2>/dev/null) || continue
    [ "$is" = "$who $mode" ] || say "$path ($is, was $who $mode)"
  done <"$S/modes"
}

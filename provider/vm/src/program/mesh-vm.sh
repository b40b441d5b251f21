# mesh-vm: joins this machine to an Istio mesh, looks at it, or takes it out again.
#
# /bin/sh reads it from standard input and calls `main`. Input: lines `key base64`, then `end`;
# each value becomes a file, so that no value is ever a word of a script. Output: lines
# `key words…` between `begin RUN` and `end RUN`; free text in them is base64.
#
#   observe check            look, write nothing
#   bootstrap remove         a worker of its own does it, this process only follows the log
#   result commit revert     follow a worker that was begun on another connection
set -u
umask 077
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
R=/run/mesh-vm             # one folder for each run, on tmpfs: input, token, log
S=/var/lib/istio/mesh      # what outlives a reboot: owner, journal, the set before, what was found
DROP=/etc/systemd/system/istio.service.d HOSTS=/etc/hosts CERTS=/etc/certs BIN=/usr/local/bin LOG=/var/log/istio
TOKEN=/var/run/secrets/tokens/istio-token LOOSE=/proc/sys/net/netfilter/nf_conntrack_tcp_loose
CID=/run/istio-proxy.cid BOOT=/run/cloud-init ROTATE=/etc/logrotate.d/mesh-vm UNITS=/etc/systemd/system UNDO=mesh-vm-undo.service
PACKAGE=120 ALONE=45       # seconds: for another package manager, for a provider to come back
# What Istio's package and the agent make and no package manager takes away.
DIRS="/etc/istio /etc/certs /var/log/istio /var/run/secrets /var/lib/istio /var/lib/istio/bin $DROP"
STEPS='check stage keep ask stop install token place track start ready'
p=${p:-}                   # this program as it came: gzip, base64
NOW=                       # or how systemd is told not to be waited for

hook() { :; } # before each step; tests put their own in its place
say() { printf '%s\n' "$*"; }
die() { say "mesh-vm: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
b64() { base64 | tr -d '\n'; }
field() { cat "$d/in/$1" 2>/dev/null; }
has() { [ -e "$d/in/$1" ]; }
log() { say "$*" >>"$d/log"; }
unit() { [ -e "$(fragment)" ]; }
# One that fails again and again is between two starts.
running() { case $(systemctl is-active istio.service 2>/dev/null) in active | activating | reloading) ;; *) return 1 ;; esac; }
pause() { sleep 0.2 2>/dev/null || sleep 1; }
# await SECONDS COMMAND…: until it succeeds.
await() { limit=$(($(date +%s) + $1)) && shift; until "$@"; do [ "$(date +%s)" -lt "$limit" ] || return 1; pause; done; }
# Text for people: the last lines, bounded, without anything that looks like a token.
lines() {
  sed 's/eyJ[A-Za-z0-9_-]*[.][A-Za-z0-9_.-]*/[token]/g' | tail -n 20 | cut -c 1-400 |
    while IFS= read -r text; do log "line $(printf %s "$text" | b64)"; done
}

# --- input and verbs
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
  { mkdir -p "$R" && d=$(mktemp -d "$R/in.XXXXXX") && mkdir "$d/in"; } || die "cannot write to $R; it needs root"
  trap leave EXIT && trap 'exit 1' HUP INT TERM PIPE
}
serve() {
  case $run in *[!0-9a-f]* | '') die 'the input names no run' ;; esac
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
verb_check() { checks; say 'report checked'; }
verb_observe() {
  say "clock $(date +%s)"
  [ ! -e "$S/owner" ] || say "owner $(b64 <"$S/owner")"
  for f in "$d"/in/file.*.path; do
    [ -e "$f" ] || continue
    path=$(cat "$f")
    if [ ! -f "$path" ]; then say "file $(b64 <"$f") missing"
    else say "file $(b64 <"$f") $(stat -L -c '%U %a' "$path") $(b64 <"$path")"; fi
  done
  [ ! -e "$S/sums" ] || strange | sort -u | while IFS= read -r text; do say "changed $(printf %s "$text" | b64)"; done
  block | while IFS= read -r text; do say "hosts $(printf %s "$text" | b64)"; done
  unit && say "unit $(systemctl is-active istio.service) $(systemctl is-enabled istio.service 2>/dev/null)"
  identity
  ready && say 'ready yes'
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v t="$tool" 'BEGIN { sub(/^iptables-?/, "", t); sub(/^ip6tables-?/, "6", t) }
      /^[*]/ { table = substr($1, 2) } /^:ISTIO_/ && !seen[table]++ { print "chain " t "/" table }'
  done
  if [ -d "$S/run" ] && [ ! -e "$S/run/end" ]; then say "unfinished $(last_step)"; fi
  say 'report observed'
}
# How the unit runs is said there, by us and by whoever put something beside it. What a package brings is its own.
written() {
  for f in "$UNITS/istio.service" "$DROP"/*.conf /run/systemd/system/istio.service /run/systemd/system/istio.service.d/*.conf "$S/proxy" "$ROTATE"; do
    [ ! -f "$f" ] || say "$f"
  done
}
sums() { written | while IFS= read -r text; do sha256sum "$text"; done; }
# What of that is not as the last bootstrap left it: changed, gone or new.
strange() {
  sums | cat - "$S/sums" | sort | uniq -u | cut -c 67-
  # An engine gives each container an id of its own, so one that somebody made has another, whatever its options.
  [ ! -e "$S/engine" ] || [ ! -e "$CID" ] || ! v=$(contain inspect -f '{{.Id}}' istio-proxy 2>/dev/null) || [ "$v" = "$(cat "$CID")" ] || say 'the container istio-proxy'
}
# What the machine and its proxy are: lines of `observe` and of a final bootstrap.
identity() {
  [ ! -r /etc/machine-id ] || say "machine $(b64 </etc/machine-id)"
  if [ -e "$S/engine" ]; then
    say "runtime $(engine)"
    v=$(contain inspect -f '{{index .Config.Labels "mesh-vm.image"}}' istio-proxy 2>/dev/null) && say "image $(say "$v" | b64)"
    v=$(agent version --short 2>/dev/null | sed -n "s/.*version: *//p")
  else v=$(version); fi
  [ -n "$v" ] && say "version $(printf %s "$v" | b64)"
  # The first certificate only; the rest is the mesh's chain.
  [ ! -r "$CERTS/cert-chain.pem" ] || say "certificate $(sed '/END CERT/q' "$CERTS/cert-chain.pem" | b64)"
}

# --- a worker of its own, and following it
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
  else say 'report lost' && return 1; fi
  [ "$verb" = result ] || : >"$d/$verb"
  [ -z "$again" ] || detach "mesh-vm-$run-again" mend
}
follow() {
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
    # Dead without an end: killed. The undoing needs a worker, too.
    if [ $((quiet % 100)) -eq 25 ] && ! living; then
      mends=$((mends + 1)); [ "$mends" -le 3 ] || { say "report halfway $(reached)"; break; }
      detach "mesh-vm-$run-again" mend
    fi
    pause
  done
  kill "$words" 2>/dev/null
  if grep -q '^report removed' "$d/log"; then rm -rf "$d" && vacate; fi
}
# Takes the lock away, too, unless another run is there: it may wait for that very file.
vacate() { (exec 9>"$R/lock" && flock -n 9 && for f in "$R"/*/; do [ ! -e "$f" ] || exit 0; done && rm -f "$R/lock" "$R/holder") 2>/dev/null; }
decided() { [ -e "$d/commit" ] || [ -e "$d/revert" ] || grep -qE '^(end|failed .*)$' "$d/log"; }
reached() { sed -n 's/^step //p' "$d/log" | tail -n 1; }
living() { pid=$(cat "$d/pid" 2>/dev/null) && grep -q "$run" "/proc/$pid/cmdline" 2>/dev/null; }
# What comes on standard input behind the data: the token, when it was asked for.
words() {
  while read -r key value; do
    [ "$key" != token ] || { printf %s "$value" | base64 -d >"$d/token.part" && mv "$d/token.part" "$d/token"; }
  done
}

# --- the worker
enter() {
  d=$1 run=${1##*/} verb=$(field verb) patience=$(field wait.lock)
  say $$ >"$d/pid"
  trap '' HUP && exec 9>"$R/lock"
  await "${patience:-30}" flock -n 9 || finish "busy $(cat "$R/holder")"
  say "$run ${verb:-undo}" >"$R/holder"
}
work() {
  enter "$1"
  for f in "$R"/*/log; do case $f in "$d"/*) ;; *) ! grep -qx end "$f" || rm -rf "${f%/log}" ;; esac; done
  # A removal clears away what cannot be undone.
  bury || [ "$verb" = remove ] || finish "halfway $(last_step)"
  calm=$(requests) calm_since=$(date +%s)
  "run_$verb"
}
# Undoes a run that died, and tells who follows it.
bury() {
  [ ! -e "$S/run/end" ] || return 0
  dead=$R/$(cat "$S/run/id" 2>/dev/null)
  undo || return 1
  [ ! -e "$dead/log" ] || { rm -rf "$dead/in" "$dead/token" && printf '%s\n' 'report reverted' end >>"$dead/log"; }
}
# Ends what a worker could not: the dead man's timer, a reboot, a kill, a late `revert`.
mend() {
  systemctl stop "mesh-vm-${1##*/}.service" 2>/dev/null
  enter "$1"
  if [ "$(cat "$S/run/id" 2>/dev/null)" != "$run" ]; then
    [ "$verb:$(reached)" != remove:stop ] || serve_on
    log "failed $(reached)" && finish reverted
  fi
  if [ -e "$S/run/end" ] && [ ! -e "$d/revert" ]; then committed; fi
  rm -f "$S/run/end"
  if [ -e "$d/awaits" ] || [ -e "$d/revert" ]; then fail verdict; fi
  say 'the run was cut off on the VM' | lines
  fail "$(last_step)"
}
# At the VM's boot, of the copy in the journal: nobody may ever ask for a run that it cut off.
boot() {
  NOW=--no-block d='' # the proxy starts behind this
  run=$1 && mkdir -p "$R" && d=$(mktemp -d "$R/in.XXXXXX") && : >"$d/log" && cp "$0" "$d/program" || return 1
  # Who asked for the result was faster.
  if mv -T "$d" "$R/$run" 2>/dev/null; then mend "$R/$run"; else rm -rf "$d"; fi
}
finish() { rm -rf "$d/in" "$d/token"; log "report $*" && log end; exit 0; }
run_bootstrap() {
  if [ -e "$S/owner" ] && [ "$(namespace <"$S/owner")" != "$(field owner | namespace)" ]; then
    finish "foreign $(b64 <"$S/owner")" # a VM has one namespace
  fi
  settled || { log 'step boot' && await "$(field wait.boot)" settled; } || say 'cloud-init still runs' | lines
  for s in $STEPS; do step "$s" || fail "$s"; done
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
namespace() { sed 's/^[^ ]* //; s:/.*::'; }
last_step() { tail -n 1 "$S/run/steps" 2>/dev/null; }
# The journal is written before the step: what it names may have happened.
step() {
  log "step $1"
  if [ "$1" != check ]; then
    { [ "$(cat "$S/run/id" 2>/dev/null)" = "$run" ] || journal; } 2>"$d/err" || return 1
    { say "$1" >>"$S/run/steps"; } 2>"$d/err" || return 1
  fi
  hook "$1"; "do_$1" 2>"$d/err"
}
journal() {
  there=$(for f in $DIRS; do [ ! -e "$f" ] || say "$f"; done)
  rm -rf "$S/run"
  (umask 022 && mkdir -p "${S%/*}") && mkdir -p "$S/run" "$S/found" || return 1
  [ -e "$S/found/dirs" ] || say "$there" >"$S/found/dirs"
  : >"$S/run/steps" && cp "$d/program" "$S/run/program" && say "$run" >"$S/run/id" || return 1
  # A link by hand needs no reload: it is for the next boot.
  printf '%s\n' '[Unit]' 'Description=Takes back a bootstrap that was cut off' 'Before=istio.service' \
    '[Service]' 'Type=oneshot' "ExecStart=/bin/sh $S/run/program boot $run" >"$d/unit" &&
    put "$d/unit" "$UNITS/$UNDO" root 0644 && (umask 022 && mkdir -p "$UNITS/multi-user.target.wants") && ln -sf "../$UNDO" "$UNITS/multi-user.target.wants/$UNDO"
}
# At the end of the journal: a boot has nothing to take back.
close() { rm -f "$UNITS/$UNDO" "$UNITS/multi-user.target.wants/$UNDO"; }
fail() {
  log "failed $1"
  case $1 in check) ;; start | ready) last_words ;; *) lines <"$d/err" ;; esac 2>/dev/null
  undo || finish "halfway $1"
  case $1 in start | ready) ! has now || hop ;; esac # after a reboot nothing says any more what was wanted
  finish reverted
}
# What could not be undone stays in the journal, and the set before with it, for the next run.
undo() {
  if [ ! -e "$S/run/steps" ] || [ -e "$S/run/end" ]; then return 0; fi
  undone=1
  sed '1!G;h;$!d' "$S/run/steps" >"$d/undo"
  while read -r s <&5; do
    log "undo $s"
    ! have "undo_$s" || "undo_$s" 2>"$d/err" || { say "undoing $s failed" >>"$d/err" && lines <"$d/err" && undone=; }
  done 5<"$d/undo"
  [ -n "$undone" ] || return 1
  close
  rm -rf "$S/run" "$R/token-before"; [ -e "$S/owner" ] || forget
}
committed() {
  # The package that a container took the place of goes at the end: its files are in the set before.
  if [ -e "$S/engine" ] && [ -e "$S/installed" ] && ! uninstall 2>"$d/err"; then lines <"$d/err"; fi
  systemctl -q enable istio.service 2>/dev/null; disarm
  # Where there is no room for them, nothing is held against them.
  { sums >"$d/sums" && put "$d/sums" "$S/sums" root 0600; } 2>/dev/null || rm -f "$S/sums" "$S/sums.mesh"
  # Another name for the journal needs no room on a full disk.
  [ -e "$S/run/end" ] || ln "$S/run/steps" "$S/run/end" || fail commit
  close
  rm -rf "$R/token-before" "$S/run/package"
  { identity; v=$(bypass) && [ -n "$v" ] && say "ipv6 $(printf %s "$v" | b64)"
    v=$(published) && [ -n "$v" ] && say "published $(printf %s "$v" | b64)"; } >>"$d/log"
  finish committed
}

# --- checks: before a bootstrap, for a preflight, and to name the broken hop
judge() {
  name=$1 found=$2 && shift 2
  if "$@"; then set -- ok; else set -- bad; fi; say "check $name $1 $(printf %s "$found" | b64)"
}
# shellcheck disable=SC2016 # `eval` expands them
checks() {
  lack=$(for f in awk cmp cut flock grep install sed setsid sha256sum ss stat tail timeout; do have "$f" || printf '%s ' "$f"; done)
  judge tools "${lack:+missing: }$lack" [ -z "$lack" ]
  judge systemd "$(cat /proc/1/comm 2>/dev/null)" [ -d /run/systemd/system ]
  if lacks; then need=400; else need=20; fi
  free=$(df -Pk /var/lib | awk 'NR == 2 { print int($4 / 1024) }')
  judge disk "${free:-?} MiB free below /var/lib, $need needed" [ "${free:-0}" -ge "$need" ]
  skew=$(($(stat -c %Y "$d/in/now") - $(field now))) # when it came: a check may follow a long run
  judge clock "$skew seconds from the provider's clock" [ "${skew#-}" -le 60 ]
  if ! has engine; then
    judge sudo "$(sudo -V 2>/dev/null | head -n 1)" eval 'sudo_ok nobody || have setpriv'
    v=$(version)
    judge package "${v:-not installed}" eval '[ -n "$v" ] || { lacks && fetcher && { have dpkg || have rpm; }; }'
  elif f=$(engine_ok); then judge runtime "$f" true; else judge runtime "$f" false; fi
  [ "$(field redirect)" != yes ] || judge iptables "$(tools | tr '\n' ' ')" eval '[ -n "$(tools)" ] && have iptables'
  taken=$(ss -Hltn | awk '{ sub(/.*:/, "", $4); print $4 }' | grep -xE '150(00|01|06|20|21|90)' | sort -u | tr '\n' ' ')
  judge ports "${taken:+taken: }$taken" eval '[ -z "$taken" ] || running'
  if has taken; then
    other=$(field taken | has_address)
    judge address "${other:-none of another entry}" [ -z "$other" ]
  fi
  host=$(field control-plane) port=${host##*:} host=${host%:*}
  if has hosts; then host=$(field hosts | cut -d ' ' -f 1)
  else judge dns "$host" eval 'as_proxy getent ahosts "$host" >/dev/null'; fi
  judge control-plane "$host port $port" reach "$host" "$port"
  if has root && have curl; then
    other=$(misnamed)
    judge tls-name "${other:-$(field tls-name)}" [ -z "$other" ]
  fi
}
# What curl says where the certificate of $host, which the trust root has signed, carries another name. All else
# is for the proxy to tell. As the proxy's group: the root is not for its user to read, and neither is intercepted.
misnamed() {
  f=$host; case $f in '['*) ;; *:*) f="[$f]" ;; esac
  as_group curl -qsS -m 5 -o /dev/null --noproxy '*' --cacert "$d/in/root" --connect-to "::$f:$port" "https://$(field tls-name):$port/" 2>&1 |
    grep -iE 'certificate.*match'
}
# Of lines `address namespace/name`, those whose address an interface has.
has_address() { while read -r ip of; do ! ip -o address | grep -qF " $ip/" || printf '%s belongs to %s ' "$ip" "$of"; done; }
# A sudo that drops the environment, or wants a terminal, keeps istio-start.sh from working.
# shellcheck disable=SC2016 # expanded by the inner shell
sudo_ok() { MESH=1 setsid sudo -n -E -u "$1" sh -c '[ "$MESH" = 1 ]' </dev/null >/dev/null 2>&1; }
# Whether the sudo that we were started by keeps what is sent to it, the token too.
recorded() { [ -n "${SUDO_USER:-}" ] && sudo -n -l -U "$SUDO_USER" 2>/dev/null | tr -s ', ' '[\n*]' | grep -qxE 'log_(input|stdin)'; }
# Interception leaves only this user's traffic alone.
as_proxy() { if id istio-proxy >/dev/null 2>&1; then sudo -n -u istio-proxy "$@"; else "$@"; fi; }
as_group() { if id istio-proxy >/dev/null 2>&1; then sudo -n -g istio-proxy "$@"; else "$@"; fi; }
# shellcheck disable=SC2016 # expanded by bash
reach() {
  if have bash; then as_proxy timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
  elif have nc; then as_proxy timeout 5 nc -z "$1" "$2" 2>/dev/null; fi
}
fetcher() { f=$(field url); case $f in file://*) [ -r "${f#file://}" ] ;; *) have curl || wget --version >/dev/null 2>&1 ;; esac; } # busybox's wget takes addresses as arguments only
version() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Status} ${Version}' istio-sidecar 2>/dev/null | sed -n 's/^installed //p'
  elif have rpm; then rpm -q --qf '%{VERSION}' istio-sidecar 2>/dev/null | grep -v ' '; fi
}
bad() { awk '$3 == "bad" { if (!n++ && first) print "hop " $2; print "bad " $2 " " $4 }' first="$1" "$d/checks" >>"$d/log"; }
do_check() { checks >"$d/checks"; ! grep -q ' bad ' "$d/checks" || { bad 1 && return 1; }; }

# --- stage: fetch the package, before anything stops
# Somebody else may have installed another one since, or removed it.
wanted() { v=$(version) && [ -n "$v" ] && [ "$(cat "$S/package" 2>/dev/null)" = "$(field sha256) $v" ]; }
do_stage() {
  if has find-address; then
    f=$(outward); [ -n "$f" ] || { say 'there is no route to the control plane, so no address of its own' >&2 && return 1; }
    sed -i "s/^ISTIO_SVC_IP=.*/ISTIO_SVC_IP=$f/" "$d"/in/file.*.content || return 1
  fi
  if has engine; then pull; return; fi
  if ! lacks; then return 0; fi
  has url || released || return 1
  fetch "$(field url)" "$S/run/package" || return 1
  sum=$(sha256sum <"$S/run/package" | cut -d ' ' -f 1)
  [ "$sum" = "$(field sha256)" ] || { say "the package has SHA-256 $sum, not $(field sha256)" >&2 && return 1; }
  fits
}
# Whether this machine can take the package, by its package manager's word and by the libc that Envoy wants.
fits() {
  if have dpkg; then dpkg --no-act -i "$S/run/package"; else rpm -U --test --replacepkgs --oldpackage "$S/run/package"; fi >"$d/out" 2>&1 </dev/null
  say $? >"$d/code"
  locked || [ "$(cat "$d/code")" = 0 ] || { cat "$d/out" >&2 && return 1; }
  is=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed -n 's/^glibc 2[.]//p')
  wants=$(if have dpkg; then dpkg-deb --fsys-tarfile "$S/run/package"; else rpm2cpio "$S/run/package"; fi 2>/dev/null |
    grep -ao 'GLIBC_2[.][0-9]*' | sed 's/.*[.]//' | sort -n | tail -n 1)
  [ "${is:-99}" -ge "${wants:-0}" ] || { say "the package needs glibc 2.$wants, and the VM has 2.$is" >&2 && return 1; }
}
# Whether a package is to be fetched: the one that is named, or Istio's where there is none, or not of the version asked for.
lacks() {
  if has url; then ! wanted; return; fi
  v=$(version)
  has release && { [ -z "$v" ] || { has version && [ "$v" != "$(field version | sed 's/-//')" ]; }; }
}
# Which package of the release is this machine's, and its digest, which is beside it.
released() {
  if have dpkg; then f=deb; else f=rpm; fi
  case $(uname -m) in aarch64 | arm64) f=$f/istio-sidecar-arm64.$f ;; *) f=$f/istio-sidecar.$f ;; esac
  { field release && printf /%s "$f"; } >"$d/in/url"
  fetch "$(field url).sha256" "$d/sum" || { say "there is no $(field url).sha256 for this VM" >&2 && return 1; }
  cut -d ' ' -f 1 "$d/sum" | tr -d '\n' >"$d/in/sha256"
}
# bounded WHAT COMMAND…: with all its tries. Where busybox ends it, its status is the signal's.
bounded() {
  what=$1 && shift
  timeout "$(field wait.fetch)" "$@" && return 0
  case $? in 124 | 143) say "$what did not come within $(field wait.fetch) seconds" >&2 ;; esac
  return 1
}
# fetch ADDRESS FILE
fetch() {
  u=$1
  case $u in
  file://*) cp "${u#file://}" "$2" ;;
  http://* | https://*)
    # Its address may hold a password, which everybody could read among the arguments.
    if have curl; then
      say "url = \"$(say "$u" | sed 's/[\\"]/\\&/g')\"" |
        bounded 'the package' curl -fsSL --retry 2 --connect-timeout 10 --speed-limit 1 --speed-time 60 -o "$2" -K -
    else say "$u" | bounded 'the package' wget -nv --tries=3 -T 30 -O "$2" -i - 2>"$d/wget" || { grep -v :// "$d/wget" >&2; false; }; fi ;;
  *) say "cannot fetch ${u%%:*}: addresses" >&2 && false ;;
  esac
}
# The address that calls to the control plane come from, else those to anywhere.
outward() {
  host=$(field control-plane) host=${host%:*} host=${host#'['} host=${host%']'}
  for to in $(field hosts | cut -d ' ' -f 1) $(getent ahosts "$host" 2>/dev/null | cut -d ' ' -f 1) 192.0.2.1 2001:db8::1; do
    ip -o route get "$to" 2>/dev/null
  done |
    sed -n 's/.* src \([0-9a-f.:]*\).*/\1/p' | head -n 1
}

# --- keep: the last good set, and once what was there before us
do_keep() {
  k=$S/run/keep
  mkdir -p "$k" && rm -f "$R/token-before"
  [ ! -e "$TOKEN" ] || cp -a "$TOKEN" "$R/token-before" || return 1
  { ! running || say active; systemctl is-enabled istio.service; } >"$S/run/unit" 2>/dev/null
  if [ -e "$S/guard" ] && intercepts && [ "$(field tproxy)" = "$(transparent)" ]; then : >"$S/run/proven"; fi
  block >"$k/hosts"
  for f in "$d"/in/file.*.path; do
    [ ! -e "$f" ] || { path=$(cat "$f") && remember "$k" "$path" && remember "$S/found" "$path"; } || return 1
  done
  [ ! -e "$S/files" ] || while IFS= read -r path; do remember "$k" "$path" || return 1; done <"$S/files"
  for f in "$CERTS/key.pem" "$CERTS/cert-chain.pem" "$DROP/mesh.conf" "$ROTATE"; do
    remember "$k" "$f" && remember "$S/found" "$f" || return 1
  done
  remember "$k" "$UNITS/istio.service" && remember "$S/found" "$UNITS/istio.service" || return 1
  for f in owner files sums guard bin/sudo engine image proxy installed package; do remember "$k" "$S/$f" || return 1; done
  # One that was there stays: it is written anew, and a log may be large.
  for f in "$LOG/istio.log" "$LOG/istio.err.log" /var/lib/istio/proxy/grpc-bootstrap.json /var/lib/istio/proxy/envoy-rev.json /var/lib/istio/proxy/XDS; do
    [ -e "$f" ] || remember "$S/found" "$f" || return 1; done
  for f in /var/lib/istio /var/lib/istio/envoy /var/lib/istio/envoy/*.env /etc/certs "$BIN/envoy" "$BIN/pilot-agent"; do
    [ ! -e "$f" ] || stat -c '%u:%g %a %n' "$f"
  done >"$k/modes"
  [ -e "$S/found/modes" ] || { cp "$k/modes" "$S/found/modes" && if id istio-proxy >/dev/null 2>&1; then : >"$S/found/user"; fi; }
}
# Whether the rules of before are tproxy's.
transparent() { ! grep -qsx 'ISTIO_INBOUND_INTERCEPTION_MODE=TPROXY' /var/lib/istio/envoy/cluster.env || printf yes; }
# remember SET PATH: the file, or that there was none.
remember() {
  if grep -qxF "$2" "$1/paths" 2>/dev/null; then return 0; fi
  if [ -e "$2" ] || [ -h "$2" ]; then mkdir -p "$1/set${2%/*}" && cp -a "$2" "$1/set$2" || return 1; fi
  say "$2" >>"$1/paths"
}
restore() {
  [ -e "$1/paths" ] || return 0
  whole=1
  while IFS= read -r path; do
    if [ ! -e "$1/set$path" ] && [ ! -h "$1/set$path" ]; then rm -f "$path" || whole=; continue; fi
    ! same "$1/set$path" "$path" || continue
    # Another name for the copy needs no room on a full disk.
    { mkdir -p "${path%/*}" && rm -rf "$path.mesh" && { twin "$1/set$path" "$path.mesh" || cp -a "$1/set$path" "$path.mesh"; } && mv -fT "$path.mesh" "$path"; } || whole=
  done <"$1/paths"
  [ ! -e "$1/modes" ] || while read -r who mode path; do
    [ ! -e "$path" ] || [ -h "$path" ] || { chown "$who" "$path" && chmod "$mode" "$path"; } || whole=
  done <"$1/modes"
  [ -n "$whole" ]
}
twin() { [ ! -h "$1" ] && ln "$1" "$2" 2>/dev/null; }
same() { [ "$(stat -c %d:%i "$1")" = "$(stat -c %d:%i "$2" 2>/dev/null)" ]; }

# --- stop: with the settings that started it still in place, else its rules stay
do_stop() { drain && halt; }
# The mesh was told to send no more, before this run: that arrives, and what is under way ends.
drain() { if running; then calm || await "$(field wait.drain)" calm || say 'requests were still under way when the proxy stopped' | lines; fi; }
# Nothing is under way, and nothing has come for a second at least.
calm() {
  asked=$(requests)
  [ "$asked" = "${calm:-}" ] || { calm=$asked calm_since=$(date +%s); }
  case $asked in '' | '0 '*) [ "$(date +%s)" -ge $((calm_since + 2)) ] ;; *) return 1 ;; esac
}
# How many requests and connections from others the proxy has under way, and had in all.
requests() {
  agent request GET clusters 2>/dev/null |
    awk -F :: '/^inbound[|]/ && $3 == "rq_active" { now += $4 } /^inbound[|]/ && $3 == "rq_total" { all += $4 } END { print now + 0, all + 0 }'
}
halt() {
  # One that systemd refuses is not loaded, so that it cannot be stopped, and nothing of it runs.
  if unit && ! systemctl stop istio.service; then case $(systemctl is-active istio.service) in inactive | failed) ;; *) return 1 ;; esac; fi
  [ ! -e "$S/engine" ] || contain rm -f istio-proxy >/dev/null 2>&1
  sweep ISTIO_ && unroute
}
# What tproxy adds to the routing at each start, and never takes away.
unroute() {
  for family in -4 -6; do
    # Without that rule the table is somebody else's.
    while ip "$family" rule del fwmark 0x539 lookup 133; do ip "$family" route flush table 133; done
  done 2>/dev/null
  :
}
# That the proxy of before does not start, too, is told; nothing of ours is in its way any more.
undo_stop() {
  systemctl daemon-reload
  ! grep -qx enabled "$S/run/unit" || systemctl -q enable istio.service
  # shellcheck disable=SC2086 # a word, or none
  ! grep -qx active "$S/run/unit" || systemctl $NOW restart istio.service || { cat "$d/err"; say 'the proxy of before does not start'; } | lines
}
tools() {
  for f in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do ! have "$f-save" || say "$f"; done
  have iptables-nft-save || have iptables-legacy-save ||
    for f in iptables ip6tables; do ! have "$f-save" || say "$f"; done
}
intercepts() { for tool in $(tools | grep "${1:-.}"); do ! "$tool-save" 2>/dev/null | grep -q '^:ISTIO_' || return 0; done; return 1; }
# A global IPv6 address, where Istio made its rules for IPv4 only: as it does if the machine's first address is of IPv4.
bypass() { [ "$(field redirect)" != yes ] || intercepts ip6 || ip -6 -o address show scope global 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }'; }
# Ports whose traffic goes elsewhere before Istio's rules see it, as an engine takes that of a container's.
published() {
  [ "$(field redirect)" != yes ] || for f in $(tools | grep ^iptables); do "$f-save" -t nat 2>/dev/null; done |
    awk '$1 == "-A" && $2 !~ /^(ISTIO|MESH)_/ && / -j DNAT / && !/ -d 127[.]/ && match($0, /--dport [0-9]+/) { print substr($0, RSTART + 8, RLENGTH - 8) }' |
    sort -nu | tr '\n' ' '
}
# Takes away every chain whose name begins with $1, and the jumps to it, in each backend.
sweep() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v name="$1" '
      /^[*]/ { table = $1; old = "" }
      index($1, ":" name) == 1 { chain = substr($1, 2); flush = flush "-F " chain "\n"; old = old "-X " chain "\n" }
      $1 == "-A" && index($2, name) != 1 && index($0, "-j " name) { $1 = "-D"; jumps = jumps $0 "\n" }
      /^COMMIT/ { if (old != "") printf "%s\n%s%s%sCOMMIT\n", table, jumps, flush, old; jumps = flush = "" }' >"$d/sweep"
    [ ! -s "$d/sweep" ] || "$tool-restore" --noflush <"$d/sweep" || return 1
  done
}

# --- install
do_install() {
  id istio-proxy >/dev/null 2>&1 || : >"$S/run/user"
  [ "$(engine)" = "$(field engine)" ] || rm -f "$UNITS/multi-user.target.wants/istio.service" # it may lead to the other's unit
  if has engine; then do_contain; return; fi
  [ ! -e "$S/engine" ] || rm -f "$UNITS/istio.service" "$S/engine" "$S/image" "$S/proxy" || return 1
  if [ -e "$S/run/package" ]; then
    if [ -z "$(version)" ]; then : >"$S/run/fresh" && : >"$S/installed"; else
      for f in $(packaged); do remember "$S/run/keep" "$f" || return 1; done
    fi
    remember "$S/run/keep" "$S/package" && unpack && say "$(field sha256) $(version)" >"$S/package" || return 1
    rm -f "$S/run/package"
  fi
  own
}
packaged() { say "$BIN/envoy" "$BIN/pilot-agent" "$BIN/istio-start.sh" /var/lib/istio/envoy/envoy_bootstrap_tmpl.json "$(fragment)"; }
fragment() { systemctl show -p FragmentPath istio.service 2>/dev/null | sed -n 's/^FragmentPath=//p'; }
# Another package manager may hold the lock on a fresh machine: wait for it, within bounds.
unpack() { if await "$PACKAGE" unpacked && [ "$(cat "$d/code")" = 0 ]; then :; else cat "$d/out" >&2 && return 1; fi; }
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
# Root reads the settings, so a broken proxy must not be able to write them.
own() {
  for f in /var/lib/istio /var/lib/istio/envoy /var/lib/istio/envoy/*.env; do
    if [ -d "$f" ]; then mode=0755; elif [ -f "$f" ]; then mode=0644; else continue; fi
    [ ! -h "$f" ] || [ "$f" = /var/lib/istio ] || { say "$f is a link: whoever made it would choose what becomes root's" >&2 && return 1; }
    chown root:root "$f" && chmod "$mode" "$f" || return 1
  done
  # With tproxy root runs the proxy, and this group is how the rules tell its traffic.
  if has tproxy; then chgrp istio-proxy "$BIN/envoy" "$BIN/pilot-agent" && chmod 2755 "$BIN/envoy" "$BIN/pilot-agent" || return 1; fi
  install -d -o istio-proxy -g istio-proxy -m 0755 /var/lib/istio/proxy /etc/certs "$LOG"
}
# The package manager's own books cannot be taken back: with no digest of it here, the next
# bootstrap installs the package that it wants, whichever is registered.
undo_install() {
  if [ -e "$S/run/fresh" ]; then uninstall && restore "$S/run/keep"; else
    restore "$S/run/keep" || return 1
    [ ! -e "$S/run/keep/set$BIN/pilot-agent" ] || { : >"$S/package" && say "istio-sidecar $(version) is registered, with the files of before" | lines; }
  fi && { [ ! -e "$S/run/user" ] || drop_user; }
}
uninstall() {
  if ! await "$PACKAGE" purged || registered; then say 'the package did not go away' && cat "$d/out" && return 1; fi >&2
  (umask 022 && mkdir -p "$BIN") # the package manager takes even that away, once it is empty
  rm -f "$S/installed" "$S/package" /etc/systemd/system/*.wants/istio.service
  systemctl daemon-reload
}
drop_user() {
  if [ ! -e "$S/found/user" ] && id istio-proxy >/dev/null 2>&1; then
    if have userdel; then userdel istio-proxy; else deluser istio-proxy; fi >/dev/null 2>&1
    if have groupdel; then groupdel istio-proxy; else delgroup istio-proxy; fi >/dev/null 2>&1
  fi
  return 0
}
purged() {
  if have dpkg; then dpkg --purge istio-sidecar; elif have rpm; then rpm -e istio-sidecar; fi >"$d/out" 2>&1 9>&- </dev/null
  say $? >"$d/code"
  ! locked
}
registered() {
  if have dpkg-query; then dpkg-query -W -f '${db:Status-Status}' istio-sidecar 2>/dev/null | grep -qv '^not-installed'
  else have rpm && rpm -q istio-sidecar >/dev/null 2>&1; fi
}

# --- in a container: a unit of ours runs a script, and that the engine
engine() { cat "$S/engine" 2>/dev/null; }
# Who may pull is said in root's own files.
contain() { HOME=${HOME:-/root} "$(engine)" "$@"; }
agent() {
  if [ -e "$S/engine" ]; then HOME=${HOME:-/root} timeout 5 "$(engine)" exec istio-proxy /usr/local/bin/pilot-agent "$@"
  elif [ -x "$BIN/pilot-agent" ]; then timeout 5 "$BIN/pilot-agent" "$@"; else return 1; fi
}
# A daemon that does not run is told in the engine's words.
engine_ok() {
  f=$(field engine)
  have "$f" || { say "$f is not installed" && return 1; }
  f=$(HOME=${HOME:-/root} timeout 20 "$f" info 2>&1) || { say "$f" | grep -iE 'error|cannot' | head -n 1 && return 1; }
  field engine
}
# Before anything stops.
pull() {
  f=$(field engine) name=$(field image)
  export HOME="${HOME:-/root}"
  [ "$(field pull)" = Always ] || ! "$f" image inspect "$name" >/dev/null 2>&1 || return 0
  [ "$(field pull)" != Never ] || { say "the VM has no image $name, and pull_policy is Never" >&2 && return 1; }
  bounded "the image $name" "$f" pull --quiet "$name" >/dev/null </dev/null
}
do_contain() {
  if [ -e "$S/installed" ] && [ ! -e "$S/engine" ]; then
    for f in $(packaged); do remember "$S/run/keep" "$f" && say "$f" >>"$S/found/paths" || return 1; done
  fi
  (umask 022 && prepare) && own && field engine >"$S/engine" || return 1
  # What the name means now: going back is to that very image.
  { contain image inspect -f '{{.Id}}' "$(field image)" && field image && say ''; } >"$S/image" || return 1
  printf '%s\n' '[Unit]' 'Description=The Istio proxy, in a container' 'Wants=docker.service' 'After=docker.service' 'StartLimitIntervalSec=0' \
    '[Service]' "ExecStart=/bin/sh $S/proxy start" "ExecStop=/bin/sh $S/proxy stop" "ExecStopPost=/bin/sh $S/proxy clean" \
    'Restart=always' 'RestartSec=10' 'KillMode=mixed' 'TimeoutStopSec=60s' '[Install]' 'WantedBy=multi-user.target' |
    if [ "$(engine)" = docker ]; then cat; else grep -v docker.service; fi >"$d/unit"
  wrapper >"$S/proxy" && put "$d/unit" "$UNITS/istio.service" root 0644
}
# What Istio's package would have made.
prepare() {
  id istio-proxy >/dev/null 2>&1 || if have useradd; then useradd --system --user-group --home-dir /var/lib/istio --shell /usr/sbin/nologin istio-proxy
  else addgroup -S istio-proxy && adduser -S -D -H -h /var/lib/istio -G istio-proxy istio-proxy; fi || return 1
  mkdir -p /var/lib/istio/envoy /var/lib/istio/config && { [ -e /etc/istio ] || ln -s /var/lib/istio /etc/istio; }
}
# As istio-start.sh starts the proxy; values are in the environment, and only their names among the words.
wrapper() {
  cat <<'WRAPPER'
# Runs the Istio proxy in a container. Written by mesh-vm; the unit istio calls it.
set -u
S=${0%/*} V=/var/lib/istio LOG=/var/log/istio CID=/run/istio-proxy.cid
export HOME="${HOME:-/root}"
engine=$(cat "$S/engine") && { read -r image && read -r name; } <"$S/image" || exit 1
"$engine" image inspect "$image" >/dev/null 2>&1 || image=$name
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
    "$engine" run --rm --network host --userns host --cap-drop ALL --cap-add NET_ADMIN --cap-add NET_RAW --security-opt label=disable \
      --user 0:0 --log-driver none $names "$image" istio-iptables "$@"
}
case $1 in
start)
  install -d -o istio-proxy -m 0755 /var/run/secrets
  "$engine" rm -f istio-proxy >/dev/null 2>&1
  rules --cleanup-only && rules || exit 1
  rm -f "$CID" # the engine makes it, and writes over none
  exec "$engine" run --rm --name istio-proxy --cidfile "$CID" --label "mesh-vm.image=$name" --network host --userns host --cap-drop ALL --security-opt label=disable \
    --user "$(id -u istio-proxy):$(id -g istio-proxy)" --log-driver none --volume "$V/config:/etc/istio/config:ro" --volume "$V/proxy:/etc/istio/proxy" \
    --volume /etc/certs:/etc/certs --volume /var/run/secrets:/var/run/secrets --volume "$LOG:$LOG" $names \
    "$image" proxy ${ISTIO_AGENT_FLAGS:-} >>"$LOG/istio.log" 2>>"$LOG/istio.err.log"
  ;;
stop) "$engine" stop --time 20 istio-proxy ;;
clean) rm -f "$CID" && rules --cleanup-only ;;
esac
WRAPPER
}

# --- ask: before the proxy stops, so that a token that does not come costs no traffic
do_ask() {
  log 'want token' && since=$(date +%s)
  await "$(field wait.token)" eval 'answered || forsaken'
  [ -s "$d/token" ] || { say 'no token came' >&2 && return 1; }
}
answered() { [ -s "$d/token" ] || [ -e "$d/revert" ]; }
# A provider that lost its connection is back soon, or never.
forsaken() {
  ! kill -0 "$(cat "$d/follower")" 2>/dev/null || since=$(date +%s)
  [ "$(date +%s)" -ge $((since + ALONE)) ]
}

# --- token, files, hosts line
# An old key and certificate would beat the new token; the set before has them.
do_token() {
  rm -f "$CERTS/key.pem" "$CERTS/cert-chain.pem"
  [ ! -h "${TOKEN%/*}" ] || rm -f "${TOKEN%/*}"
  install -d -o istio-proxy -g istio-proxy -m 0755 "${TOKEN%/*/*}" &&
    install -d -o istio-proxy -g istio-proxy -m 0700 "${TOKEN%/*}" && put "$d/token" "$TOKEN" istio-proxy 0600
}
undo_token() {
  if [ -e "$R/token-before" ]; then mkdir -p "${TOKEN%/*}" && rm -f "$TOKEN" && cp -a "$R/token-before" "$TOKEN"; else rm -f "$TOKEN"; fi && restore "$S/run/keep"
}
# put FILE PATH OWNER MODE: by a rename, so that nobody reads half of it. Some of the folders are
# the proxy's, which is stopped: a link that it left in our way goes, and is never written through.
put() {
  (umask 022 && mkdir -p "${2%/*}") && rm -rf "$2.mesh" && install -o "$3" -g "$3" -m "$4" "$1" "$2.mesh" && mv -fT "$2.mesh" "$2" || return 1
  # Where SELinux is, a file has the label of the folder it was made in, which may not be its own.
  if have restorecon; then restorecon "$2" 2>/dev/null; fi
  return 0
}
do_place() {
  for f in "$d"/in/file.*.path; do [ ! -e "$f" ] || { cat "$f" && say ''; }; done >"$d/files"
  # What the set before had and this one has not, e.g. what fetched a token.
  [ ! -e "$S/files" ] || while IFS= read -r path; do grep -qxF "$path" "$d/files" || rm -f "$path" || return 1; done <"$S/files"
  for f in "$d"/in/file.*.path; do
    [ -e "$f" ] || continue
    f=${f%.path}
    put "$f.content" "$(cat "$f.path")" "$(cat "$f.owner")" "$(cat "$f.mode")" || return 1
  done
  { ! has hosts || { field hosts && say ''; }; } | sed '/^$/d' >"$d/block"
  hosts "$d/block" && rotate && put "$d/files" "$S/files" root 0600 && put "$d/in/owner" "$S/owner" root 0600
}
# The package ships nothing that bounds the proxy's logs.
rotate() {
  [ -d "${ROTATE%/*}" ] || return 0
  printf '%s\n' "$LOG/*.log {" '  su istio-proxy istio-proxy' '  daily' '  maxsize 100M' '  rotate 7' '  compress' '  copytruncate' \
    '  missingok' '  notifempty' '}' >"$d/rotate" && put "$d/rotate" "$ROTATE" root 0644
}
undo_place() { restore "$S/run/keep" && hosts "$S/run/keep/hosts"; }
block() { awk '/^# BEGIN mesh-vm$/ { n = 1; t = ""; next } /^# END mesh-vm$/ { if (n) printf "%s", t; n = 0 } { t = t $0 "\n" }' "$HOSTS"; }
hosts() {
  block | cmp -s - "$1" && return 0
  cp -a "$HOSTS" "$HOSTS.mesh" || return 1
  {
    # A block that somebody took the end of is not ours to cut: only its mark goes.
    awk '/^# BEGIN mesh-vm$/ { n = NR } { l[NR] = $0 } /^# END mesh-vm$/ && n { for (i = n; i <= NR; i++) delete l[i]; n = 0 }
      END { for (i = 1; i <= NR; i++) if (i in l && l[i] != "# BEGIN mesh-vm") print l[i] }' "$HOSTS"
    [ ! -s "$1" ] || { say '# BEGIN mesh-vm' && cat "$1" && say '# END mesh-vm'; }
  } >"$HOSTS.mesh" || return 1
  # A bind mount cannot be renamed over.
  mv "$HOSTS.mesh" "$HOSTS" 2>/dev/null || { cat "$HOSTS.mesh" >"$HOSTS" && rm -f "$HOSTS.mesh"; }
}

# --- track: the unit's drop-in; rules that keep what is connected connected
do_track() {
  backend=
  if have iptables-legacy-save && iptables-legacy-save 2>/dev/null | grep -q '^-A'; then backend=-legacy
  elif have iptables-nft; then backend=-nft
  elif have iptables-legacy; then backend=-legacy; fi
  if has engine; then rm -f "$S/bin/sudo"; else sudo_ok istio-proxy || shim || return 1; fi
  if [ "$(field redirect)" = yes ]; then guard; else rm -f "$S/guard" && sweep MESH_; fi || return 1
  dropin >"$d/dropin" && put "$d/dropin" "$DROP/mesh.conf" root 0644
}
undo_track() { restore "$S/run/keep" && { [ -e "$S/guard" ] || sweep MESH_; }; }
dropin() {
  printf '%s\n' '[Unit]' 'Wants=network-online.target' 'After=network-online.target' '[Service]'
  # Without these the agent takes the user's number for the group's, and picks a backend anew each time.
  say "Environment=PROXY_UID=$(id -u istio-proxy) PROXY_GID=$(id -g istio-proxy)"
  [ -z "$backend" ] || say "Environment=FORCE_IPTABLES_BINARY=${backend#-}"
  [ ! -e "$S/bin/sudo" ] || say "Environment=PATH=$S/bin:$PATH"
  # Images whose cloud-init owns that file write it anew at each boot, before the network is online.
  [ ! -s "$d/block" ] || say "ExecStartPre=-+/bin/sh -c 'grep -qx \"# BEGIN mesh-vm\" $HOSTS || { echo \"# BEGIN mesh-vm\"; echo \"$(cat "$d/block")\"; echo \"# END mesh-vm\"; } >>$HOSTS'"
  # Each start would add one more; and files that root's proxy left are in the way of another's. Never
  # a link: it might lead elsewhere.
  if has tproxy; then say "ExecStartPre=-+/bin/sh -c 'while ip rule del fwmark 0x539 lookup 133 2>/dev/null; do :; done'"
  else say "ExecStartPre=-+find /etc/certs /var/lib/istio/proxy $LOG /var/run/secrets/workload-spiffe-uds -user root ( -type d -o -links 1 ) -exec chown -h istio-proxy:istio-proxy {} +"; fi
  [ -e "$S/guard" ] || return 0
  say "ExecStartPre=+/bin/sh -c '$(rules "iptables$backend")'"
  say "ExecStartPre=-+/bin/sh -c '$(rules "ip6tables$backend")'"
  say "ExecStartPre=-+/bin/sh -c 'grep -q 1 $LOOSE || echo 1 >$LOOSE'"
}
# A connection that the kernel does not know yet is redirected in its middle, and dies, unless
# only a SYN can be; sshd's own ports are never the proxy's.
guard() {
  {
    printf '%s\n' '*mangle' ':MESH_TRACK - [0:0]' '-A MESH_TRACK -m conntrack --ctstate NEW' ':MESH_IN - [0:0]'
    for f in $(sshd_ports); do say "-A MESH_IN -p tcp --dport $f -j ACCEPT"; done
    printf '%s\n' COMMIT '*nat' ':MESH_IN - [0:0]' \
      ':MESH_OUT - [0:0]' '-A MESH_IN -p tcp ! --syn -j ACCEPT' '-A MESH_OUT -p tcp ! --syn -j ACCEPT'
    for f in $(sshd_ports); do say "-A MESH_IN -p tcp --dport $f -j ACCEPT" && say "-A MESH_OUT -p tcp --sport $f -j ACCEPT"; done
    say COMMIT
  } >"$S/guard"
  sh -c "$(rules "iptables$backend")" || return 1
  sh -c "$(rules "ip6tables$backend")" 2>/dev/null
  grep -q 1 "$LOOSE" 2>/dev/null || { cat "$LOOSE" >"$S/loose" && say 1 >"$LOOSE"; } 2>/dev/null || :
}
# The commands that put the guard's rules in place, ahead of Istio's; fit for a unit file.
rules() {
  printf '%s' "$1-restore --noflush <$S/guard"
  for jump in 'mangle OUTPUT -j MESH_TRACK' 'mangle PREROUTING -j MESH_IN' 'nat OUTPUT -j MESH_OUT' 'nat PREROUTING -j MESH_IN'; do
    printf '%s' " && { $1 -w -t ${jump%% *} -C ${jump#* } 2>/dev/null || $1 -w -t ${jump%% *} -I ${jump#* }; }"
  done
}
# Configured, listening, and in use now: socket activation hides sshd behind systemd. High local
# ports in use are the far ends of tunnels.
sshd_ports() {
  {
    sshd -T 2>/dev/null | awk '$1 == "port" { print $2 }'
    systemctl show -p Listen ssh.socket sshd.socket 2>/dev/null | sed -n 's/.*:\([0-9]*\) (Stream).*/\1/p'
    ss -Htanp | awk '/sshd|dropbear/ { sub(/.*:/, "", $4); if ($1 == "LISTEN" || $4 < 32768) print $4 }'
  } | grep -x '[0-9]*' | sort -un
}
# Stands in for a sudo that drops the environment.
shim() {
  have setpriv || { say 'sudo -E does not keep the environment and there is no setpriv' >&2 && return 1; }
  mkdir -p "$S/bin" && cat >"$S/bin/sudo" <<'SHIM' && chmod 0700 "$S/bin/sudo"
#!/bin/sh
while :; do case $1 in -E | -s) shift ;; -u) user=$2 && shift 2 ;; *) break ;; esac; done
exec setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups "$@"
SHIM
}

# --- start, ready, and what broke
do_start() {
  if unproven; then
    systemctl -q disable istio.service 2>/dev/null; disarm
    systemd-run --quiet --collect --unit=mesh-vm-deadman --timer-property=AccuracySec=1s \
      --on-active=$(($(field wait.ready) + $(field wait.verdict) + 30))s /bin/sh "$d/program" mend "$d" || return 1
  fi
  for f in istio.err.log istio.log; do wc -c <"$LOG/$f" 2>/dev/null || say 0; done >"$d/sizes"
  systemctl daemon-reload && systemctl restart istio.service
}
undo_start() { disarm; systemctl -q disable istio.service 2>/dev/null; halt; }
disarm() { systemctl stop mesh-vm-deadman.timer 2>/dev/null; }
ready() { agent wait --url http://127.0.0.1:15021/healthz/ready --timeoutSeconds 1 >/dev/null 2>&1; }
do_ready() { await "$(field wait.ready)" certified; }
# The old certificate was put away, so one that is there was issued to this start.
certified() { [ -s "$CERTS/cert-chain.pem" ] && ready; }
# Of the proxy's log since the start: complaints, each once, whatever its time. Never its
# configuration, which it prints as YAML: the mesh's own secrets might be in it.
last_words() {
  {
    journalctl -q -u istio.service -n 10 -o cat --no-pager
    { for f in istio.err.log istio.log; do read -r size && tail -c "+$((size + 1))" "$LOG/$f"; done; } <"$d/sizes"
  } 2>/dev/null | awk '{ text = $0; sub(/^[^ \t]*[ \t]*/, "", text) } 
    !/\tinfo\t|COMMAND=/ && !/^ *[A-Za-z_-]+:/ && tolower(text) ~ /warn|err|crit|fatal|panic|fail|denied|not found/ && !seen[text]++' >"$d/tail"
  lines <"$d/tail"
}
# The way is looked at without the proxy's rules: they would answer for it.
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

# --- remove
run_remove() {
  [ -e "$S/owner" ] || finish removed
  ours || finish "foreign $(b64 <"$S/owner")"
  log 'step stop' && hook stop
  systemctl -q disable istio.service 2>/dev/null; disarm
  { drain && halt && sweep MESH_; } 2>"$d/err" || serve_on
  log 'step clean' && hook clean
  : >"$d/block"
  { hosts "$d/block" && restore "$S/found" && rm -rf "${TOKEN%/*}"; } 2>"$d/err" || { log 'failed clean' && lines <"$d/err" && finish reverted; }
  [ ! -e "$S/loose" ] || cat "$S/loose" >"$LOOSE" 2>/dev/null
  log 'step uninstall' && hook uninstall
  { { [ ! -e "$S/installed" ] || uninstall; } && drop_user; } 2>"$d/err" || { log 'failed uninstall' && lines <"$d/err" && finish reverted; }
  systemctl reset-failed istio.service 2>/dev/null
  forget
  for f in $gone "$S" "$R/token-before"; do if [ -e "$f" ] || [ -h "$f" ]; then log "left $(printf %s "$f" | b64)"; fi; done
  finish removed
}
# A proxy that cannot be stopped has its traffic back, so it must run.
serve_on() {
  log 'failed stop' && lines <"$d/err"
  { systemctl -q enable istio.service && systemctl start istio.service; } 2>/dev/null || finish 'halfway stop'
  finish reverted
}
# A uid that one side does not know is no difference.
ours() {
  read -r theirs id <"$S/owner" # an empty uid leaves the id in its place
  field owner >"$d/owner" && read -r uid mine <"$d/owner"
  [ "${id:-$theirs}" = "${mine:-$uid}" ] && { [ "$theirs" = "$uid" ] || [ -z "$id" ] || [ -z "$mine" ]; }
}
# Takes away the folders that were not there before the first run.
forget() {
  gone=; for f in $DIRS; do grep -qxF "$f" "$S/found/dirs" 2>/dev/null || gone="$gone $f"; done
  close
  rm -rf "$S"
  # What somebody else put beside our drop-in is not ours.
  for f in $gone; do if [ "$f" != "$DROP" ] || [ -z "$(ls -A "$f" 2>/dev/null)" ]; then rm -rf "$f"; fi; done
  systemctl daemon-reload 2>/dev/null
}

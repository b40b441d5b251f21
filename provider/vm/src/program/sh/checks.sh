
# Checks: before a bootstrap, for a preflight, and to name the broken hop.
# judge NAME FOUND COMMAND…: `ok` or `bad`, by the command.
judge() {
  name=$1 found=$2 && shift 2
  if "$@"; then verdict=ok; else verdict=bad; fi
  say "check $name $verdict $(printf %s "$found" | b64)"
}
# unknown NAME WHY: a check that cannot be made says nothing about the VM.
unknown() { say "check $1 unknown $(printf %s "$2" | b64)"; }
# shellcheck disable=SC2016 # `eval` expands them
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
# The path to the control plane, as the proxy would take it.
# shellcheck disable=SC2016 # `eval` expands it
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
# Changes user without a policy, a terminal or a name to look up, as sudo may need. busybox has another setpriv.
switches() { [ "$(setpriv --reuid 65534 --regid 65534 --clear-groups id -u 2>/dev/null)" = 65534 ]; }
# Interception leaves only the traffic of the proxy's user and group alone.
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
# shellcheck disable=SC2016 # expanded by bash
reach() {
  if have bash; then as_proxy timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
  elif have nc; then as_proxy timeout 5 nc -z "$1" "$2" 2>/dev/null; fi
}
fetcher() { f=$(field url); case $f in file://*) [ -r "${f#file://}" ] ;; *) have curl || wget --version >/dev/null 2>&1 ;; esac; } # busybox's wget takes addresses as arguments only
# What is bad, and what could not be checked; the first bad one is the hop.
bad() {
  awk -v first="$1" '
    $3 == "bad" { if (!n++ && first) print "hop " $2; print "bad " $2 " " $4 }
    $3 == "unknown" { print "unknown " $2 " " $4 }' "$d/checks" >>"$d/log"
}
do_check() { checks >"$d/checks"; ! grep -q ' bad ' "$d/checks" || { bad 1; return 1; }; }
# Where the log of this start begins.
mark() {
  for f in istio.err.log istio.log; do stat -c %s "$LOG/$f" 2>/dev/null || say 0; done >"$d/sizes"
  journalctl -q -n 0 --show-cursor 2>/dev/null | sed -n 's/^-- cursor: //p' >"$d/cursor"
}
# The journal since then; without a cursor there was none before.
journaled() {
  [ -e "$d/cursor" ] || return 0
  since=$(cat "$d/cursor")
  journalctl -q -u istio.service ${since:+--after-cursor="$since"} -n 50 -o cat --no-pager
}
# What the step said, then the complaints of the proxy's log since the start, each once, whatever its
# time. Never its configuration, which it prints as YAML: the mesh's own secrets might be in it.
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
# Of a start that nothing complains of: how far it is.
standing() {
  state=$(systemctl show -p ActiveState,SubState istio.service | sed 's/.*=//' | tr '\n' ' ')
  pid=$(systemctl show -p MainPID istio.service | sed 's/.*=//')
  say "the log has no complaint; the unit istio is ${state}and its process is $(cat "/proc/$pid/comm" 2>/dev/null || say gone)"
}
# logged FILE SIZE: what came to the log since it had that size, the end of it at most.
# shellcheck disable=SC2030,SC2031 # that bound is for this file alone
logged() { (LARGEST=$((1 << 62)) && peek "$1" tail -c "+$(($2 + 1))") | tail -c 65536; }
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

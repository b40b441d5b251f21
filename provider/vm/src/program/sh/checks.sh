
# Checks: before a bootstrap, for a preflight, and to name the broken hop.
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
bad() { awk '$3 == "bad" { if (!n++ && first) print "hop " $2; print "bad " $2 " " $4 }' first="$1" "$d/checks" >>"$d/log"; }
do_check() { checks >"$d/checks"; ! grep -q ' bad ' "$d/checks" || { bad 1 && return 1; }; }
# Of the proxy's log since the start: complaints, each once, whatever its time. Never its
# configuration, which it prints as YAML: the mesh's own secrets might be in it.
last_words() {
  {
    journalctl -q -u istio.service -n 10 -o cat --no-pager
    { for f in istio.err.log istio.log; do read -r size && logged "$LOG/$f" "$size"; done; } <"$d/sizes"
  } 2>/dev/null | awk '{ text = $0; sub(/^[^ \t]*[ \t]*/, "", text) } 
    !/\tinfo\t|COMMAND=/ && !/^ *[A-Za-z_-]+:/ && tolower(text) ~ /warn|err|crit|fatal|panic|fail|denied|not found/ && !seen[text]++' >"$d/tail"
  lines <"$d/tail"
}
# logged FILE SIZE: what came to the log since it had that size, the end of it at most.
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


# The proxy in a container: a unit of ours runs a script, and that the engine.
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
  have "$f" || { say "$f is not installed"; return 1; }
  f=$(HOME=${HOME:-/root} timeout 20 "$f" info 2>&1) || { say "$f" | grep -iE 'error|cannot' | head -n 1; return 1; }
  field engine
}
# Before anything stops.
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
  # What the name means now: going back is to that very image.
  { contain image inspect -f '{{.Id}}' "$(field image)" && field image && say ''; } >"$S/image" || return 1
  printf '%s\n' '[Unit]' 'Description=The Istio proxy, in a container' 'Wants=docker.service' 'After=docker.service' 'StartLimitIntervalSec=0' \
    '[Service]' "ExecStart=/bin/sh $S/proxy start" "ExecStop=/bin/sh $S/proxy stop" "ExecStopPost=/bin/sh $S/proxy clean" \
    'Restart=always' 'RestartSec=10' 'KillMode=mixed' 'TimeoutStopSec=60s' '[Install]' 'WantedBy=multi-user.target' |
    if [ "$(engine)" = docker ]; then cat; else grep -v docker.service; fi >"$d/unit"
  proxy_script >"$S/proxy" && put "$d/unit" "$UNITS/istio.service" root 0644
}
# What Istio's package would have made.
prepare() {
  id istio-proxy >/dev/null 2>&1 || if have useradd; then useradd --system --user-group --home-dir /var/lib/istio --shell /usr/sbin/nologin istio-proxy
  else addgroup -S istio-proxy && adduser -S -D -H -h /var/lib/istio -G istio-proxy istio-proxy; fi || return 1
  folder /var/lib/istio/envoy && folder /var/lib/istio/config && { [ -e /etc/istio ] || ln -s /var/lib/istio /etc/istio; }
}


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
  [ "$(field pull)" != Never ] || { say "the VM has no image $name, and pull_policy is Never" >&2; return 1; }
  bounded "the image $name" "$f" pull --quiet "$name" >/dev/null </dev/null
}
do_contain() {
  switches || { say 'there is no setpriv of util-linux, by which the proxy'\''s user writes its logs' >&2; return 1; }
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
# What the VM has is run, and nothing is pulled: when, is the matter of a bootstrap.
find_image() {
  if "$engine" image inspect "$image" >/dev/null 2>&1; then return 0; fi
  image=$name
  "$engine" image inspect "$image" >/dev/null && return 0
  echo "error: the VM has no image $name (any more): pull it, or apply again" >&2
  return 1
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
  install -d -o istio-proxy -m 0755 /var/run/secrets
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
clean) rm -f "$CID" "$CID.out" "$CID.err" && find_image && rules --cleanup-only ;;
esac
WRAPPER
}

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

# Does: runs the Istio proxy in a container, as istio-start.sh starts it. Values are in the environment, and only their names
#   among the words of commands. mesh-vm writes this script, and the unit istio calls it.
# Needs: emit closed sweep, which stand before it
# Gives: start, stop and clean: the words that the unit calls it with
# Owns: the container istio-proxy; istio-proxy.cid in /run, with .out and .err
# Undo: clean removes the files and the proxy's rules
# shellcheck disable=SC1090,SC2016,SC2034,SC2086,SC2154,SC3057 # settings and lists of words; an inner shell
set -u
state_dir=${0%/*}
istio_dir=/var/lib/istio
LOG_DIR=/var/log/istio
CONTAINER_ID_FILE=/run/istio-proxy.cid
export HOME="${HOME:-/root}"
engine=$(cat "$state_dir/engine") || exit 1
{
  read -r image &&
    read -r image_name
} <"$state_dir/image" || exit 1
# The image that the VM has is run. Only a bootstrap pulls.
find_image() {
  if "$engine" image inspect "$image" >/dev/null 2>&1; then
    return 0
  fi
  image=$image_name
  if "$engine" image inspect "$image" >/dev/null; then
    return 0
  fi
  refuse "error: the VM has no image $image_name any more: pull it, or apply again"
}
pull_option=
if "$engine" run --help 2>/dev/null | grep -qE -e '--pull [a-z]'; then
  pull_option=--pull=never
fi
set -a
for settings_file in "$istio_dir/envoy/sidecar.env" "$istio_dir/envoy/cluster.env"; do
  if [ -r "$settings_file" ]; then
    . "$settings_file"
  fi
done
INSTANCE_IP=${ISTIO_SVC_IP:-$(hostname -I | cut -d ' ' -f 1)}
POD_NAME=${POD_NAME:-$(hostname -s)}
POD_NAMESPACE=${ISTIO_NAMESPACE:-default}
CA_ADDR=${CA_ADDR:-istiod.${ISTIO_SYSTEM_NAMESPACE:-istio-system}.svc:15012}
PROV_CERT=${PROV_CERT-./etc/certs}
OUTPUT_CERTS=${OUTPUT_CERTS-./etc/certs}
PROXY_CONFIG=${PROXY_CONFIG:-"serviceCluster: ${ISTIO_SERVICE:-rawvm}
controlPlaneAuthPolicy: MUTUAL_TLS
"}
set +a
list_environment() {
  sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/--env \1/p' "$istio_dir"/envoy/*.env
  printf -- '--env %s\n' INSTANCE_IP POD_NAME POD_NAMESPACE CA_ADDR PROV_CERT OUTPUT_CERTS PROXY_CONFIG \
    PROXY_UID PROXY_GID FORCE_IPTABLES_BINARY
}
environment=$(list_environment)
run_iptables() {
  if [ "${ISTIO_CUSTOM_IP_TABLES:-}" = true ]; then
    return 0
  fi
  "$engine" run --rm $pull_option --network host --userns host --cap-drop ALL --cap-add NET_ADMIN --cap-add NET_RAW \
    --security-opt label=disable --user 0:0 --log-driver none $environment "$image" istio-iptables "$@"
}
# By the VM's own tools, which are there even when the image is gone.
clean_rules() {
  if [ "${ISTIO_CUSTOM_IP_TABLES:-}" = true ]; then
    return 0
  fi
  if [ -z "$(iptables_tools)" ]; then
    find_image &&
      run_iptables --cleanup-only
    return
  fi
  run_dir=$(mktemp -d) || return 1
  sweep_chains "$ISTIO_CHAINS"
  clean_status=$?
  rm -r "$run_dir"
  return "$clean_status"
}
# write_log STREAM FILE: the logs are in a directory of the proxy's user, who may put a link in their place: so that user
# writes them, from a pipe of root's. Where it cannot write, it goes on reading: an engine that nobody reads from stops.
write_log() {
  rm -f "$CONTAINER_ID_FILE.$1"
  mkfifo -m 0600 "$CONTAINER_ID_FILE.$1" || exit 1
  setpriv --reuid "$(id -u istio-proxy)" --regid "$(id -g istio-proxy)" --clear-groups \
    /bin/sh -c 'cat >>"$1" 2>/dev/null || exec cat >/dev/null' sh "$2" <"$CONTAINER_ID_FILE.$1" &
}
run_proxy() {
  # The package's link, or a directory that was there before it.
  settings_dir=$(readlink -f /etc/istio)
  # The engine creates this file, and overwrites none.
  rm -f "$CONTAINER_ID_FILE"
  exec "$engine" run --rm $pull_option --name istio-proxy --cidfile "$CONTAINER_ID_FILE" \
    --label "mesh-vm.image=$image_name" --network host --userns host --cap-drop ALL --security-opt label=disable \
    --user "$(id -u istio-proxy):$(id -g istio-proxy)" --log-driver none \
    --volume "$settings_dir/config:/etc/istio/config:ro" --volume "$settings_dir/proxy:/etc/istio/proxy" \
    --volume /etc/certs:/etc/certs --volume /var/run/secrets:/var/run/secrets --volume "$LOG_DIR:$LOG_DIR" \
    $environment "$image" proxy ${ISTIO_AGENT_FLAGS:-} >"$CONTAINER_ID_FILE.out" 2>"$CONTAINER_ID_FILE.err"
}
case $1 in
start)
  find_image || exit 1
  grant_dirs /var/run/secrets || exit 1
  write_log out "$LOG_DIR/istio.log"
  write_log err "$LOG_DIR/istio.err.log"
  "$engine" rm -f istio-proxy >/dev/null 2>&1
  run_iptables --cleanup-only || exit 1
  run_iptables || exit 1
  run_proxy
  ;;
stop) "$engine" stop --time 20 istio-proxy ;;
clean)
  rm -f "$CONTAINER_ID_FILE" "$CONTAINER_ID_FILE.out" "$CONTAINER_ID_FILE.err"
  clean_rules
  ;;
esac


# Does: the step install for a container: a unit of this program runs a script, and the script runs the engine.
# Needs: base emit fetch keep owners package put set users
# Gives: engine run_engine run_agent pull_image install_container
# Owns: engine, image and proxy in the state directory; istio.service; the user istio-proxy
# Undo: undo_install restores these files from the set before
engine() { line_of "$state_dir/engine"; }
# Root's own files say who may pull.
run_engine() { HOME=${HOME:-/root} "$(engine)" "$@"; }
# Runs pilot-agent beside the proxy, wherever that runs.
run_agent() {
  if [ -e "$state_dir/engine" ]; then
    HOME=${HOME:-/root} timeout 5 "$(engine)" exec istio-proxy /usr/local/bin/pilot-agent "$@"
  elif [ -x "$BIN_DIR/pilot-agent" ]; then
    timeout 5 "$BIN_DIR/pilot-agent" "$@"
  else
    return 1
  fi
}
# Before anything stops.
pull_image() {
  pull_engine=$(field engine)
  pull_name=$(field image)
  export HOME="${HOME:-/root}"
  if [ "$(field pull)" != Always ] && "$pull_engine" image inspect "$pull_name" >/dev/null 2>&1; then
    return 0
  fi
  if [ "$(field pull)" = Never ]; then
    refuse "the VM has no image $pull_name, and pull_policy is Never"
    return
  fi
  bounded "the image $pull_name" "$pull_engine" pull --quiet "$pull_name" >/dev/null </dev/null
}
install_container() {
  if ! has_setpriv; then
    refuse 'there is no setpriv of util-linux, which the proxy'\''s user needs to write its logs'
    return
  fi
  if [ -e "$state_dir/installed" ] && [ ! -e "$state_dir/engine" ]; then
    keep_replaced_package || return 1
  fi
  commit_copies || return 1
  prepare_container_host || return 1
  fix_owners || return 1
  field engine >"$state_dir/engine" || return 1
  write_image >"$state_dir/image" || return 1
  container_unit >"$run_dir/unit"
  proxy_script >"$state_dir/proxy" &&
    put_file "$run_dir/unit" "$UNITS_DIR/istio.service" root 0644
}
# A removal later restores what the package had before.
keep_replaced_package() {
  for replaced_file in $(package_files); do
    keep_file "$state_dir/run/keep" "$replaced_file" || return 1
    emit "$replaced_file" >>"$state_dir/found/paths" || return 1
  done
}
# What the name means now: an undo goes back to this very image.
write_image() {
  run_engine image inspect -f '{{.Id}}' "$(field image)" &&
    field image &&
    emit ''
}
container_unit() {
  printf '%s\n' \
    '[Unit]' \
    'Description=The Istio proxy, in a container'
  if [ "$(engine)" = docker ]; then
    printf '%s\n' 'Wants=docker.service' 'After=docker.service'
  fi
  printf '%s\n' \
    'StartLimitIntervalSec=0' \
    '[Service]' \
    "ExecStart=/bin/sh $state_dir/proxy start" \
    "ExecStop=/bin/sh $state_dir/proxy stop" \
    "ExecStopPost=/bin/sh $state_dir/proxy clean" \
    'Restart=always' \
    'RestartSec=10' \
    'KillMode=mixed' \
    'TimeoutStopSec=60s' \
    '[Install]' \
    'WantedBy=multi-user.target'
}
# What Istio's package would have created.
prepare_container_host() (
  umask 022
  id istio-proxy >/dev/null 2>&1 ||
    add_user ||
    return 1
  ensure_dir /var/lib/istio/envoy || return 1
  ensure_dir /var/lib/istio/config || return 1
  [ -e "$ETC_DIR" ] || ln -s /var/lib/istio "$ETC_DIR"
)
add_user() {
  if have useradd; then
    useradd --system --user-group --home-dir /var/lib/istio --shell /usr/sbin/nologin istio-proxy
  else
    addgroup -S istio-proxy &&
      adduser -S -D -H -h /var/lib/istio -G istio-proxy istio-proxy
  fi
}


# Does: lists what a bootstrap leaves, to compare the VM with later: content, owners and modes; and which proxy it is.
# Needs: admin base container emit package proxyfiles
# Gives: list_own_parts list_sums list_modes send_identity
# Owns: nothing; commit_run saves these lists
# Undo: nothing to undo
# The files that define how the unit runs: this program's, and any drop-in. What a package brings is its own.
list_written() {
  for unit_path in "$UNITS_DIR/istio.service" "$DROP_IN_DIR"/*.conf /run/systemd/system/istio.service \
    /run/systemd/system/istio.service.d/*.conf "$state_dir/proxy" "$LOGROTATE_FILE"; do
    if [ -f "$unit_path" ]; then
      emit "$unit_path"
    fi
  done
  list_own_parts | while IFS= read -r part_path; do
    if [ -f "$part_path" ]; then
      emit "$part_path"
    fi
  done
}
# What the unit reads in the state directory, and what renews the token.
list_own_parts() {
  printf '%s\n' "$state_dir/guard" "$state_dir/bin/sudo" "$state_dir/engine" "$state_dir/image" \
    "$TOKEN_REFRESH" "$UNITS_DIR/$TOKEN_UNIT.service" "$UNITS_DIR/$TOKEN_UNIT.timer"
}
list_sums() {
  list_written | while IFS= read -r summed_path; do
    sha256sum "$summed_path"
  done
}
# Prints `owner:group mode path` of files that only root may write, and with tproxy of the proxy's programs: the rules
# match them by their group, which an upgrade of the package changes. Placed files are compared elsewhere.
list_modes() {
  istio_dir=${state_dir%/*}
  for mode_path in "$istio_dir/config" "$istio_dir/bin" "$istio_dir"/envoy/*.env; do
    if [ -e "$mode_path" ] && ! grep -qsxF "$mode_path" "$state_dir/files"; then
      stat -L -c '%U:%G %a %n' "$mode_path"
    fi
  done
  if has tproxy; then
    stat -c '%U:%G %a %n' "$BIN_DIR/envoy" "$BIN_DIR/pilot-agent"
  fi
}
# What the machine and its proxy are: lines of `observe` and of a committed bootstrap.
send_identity() {
  if [ -r /etc/machine-id ]; then
    send machine "$(encode </etc/machine-id)"
  fi
  if [ -e "$state_dir/engine" ]; then
    send runtime "$(engine)"
    # A container without the label has an empty image, which differs from every wanted one.
    if running_image=$(run_engine inspect -f '{{index .Config.Labels "mesh-vm.image"}}' istio-proxy 2>/dev/null); then
      send image "$(emit "$running_image" | encode)"
    fi
    send_text version "$(run_agent version --short 2>/dev/null | sed -n "s/.*version: *//p")"
  else
    send_text version "$(package_version)"
  fi
  # The first certificate only; the rest is the mesh's chain.
  send_text certificate "$(read_safely "$(certs_dir)/cert-chain.pem" sed '/END CERT/q')"
}


# Does: gives the files of the proxy their owners: root those that root reads, the proxy's user the rest.
# Needs: base closed emit handover
# Gives: fix_owners
# Owns: owner and mode of files below /var/lib/istio, of certificates, logs and the proxy's programs
# Undo: the step keep has noted owners and modes, which restore_set puts back
# Root reads the settings, so a broken proxy must not be able to write them.
fix_owners() {
  for root_path in /var/lib/istio /var/lib/istio/envoy /var/lib/istio/config /var/lib/istio/bin /var/lib/istio/envoy/*.env; do
    give_to_root "$root_path" || return 1
  done
  refuse_link /var/lib/istio/proxy || return 1
  # With tproxy root runs the proxy, and this group is how the rules recognize its traffic.
  if has tproxy; then
    chgrp istio-proxy "$BIN_DIR/envoy" "$BIN_DIR/pilot-agent" || return 1
    chmod 2755 "$BIN_DIR/envoy" "$BIN_DIR/pilot-agent" || return 1
  fi
  grant_dirs /var/lib/istio/proxy /etc/certs "$LOG_DIR" || return 1
  own_settings_dir || return 1
  has tproxy || hand_over_files
}
# Where a directory is in the place of the package's link, the agent reads and writes in that one. It may be closed to the
# proxy's user, as with cloud-init's umask.
own_settings_dir() {
  settings_dir=$(readlink -f "$ETC_DIR")
  if [ "$settings_dir" = "$(readlink -f /var/lib/istio)" ]; then
    return 0
  fi
  give_to_root "$settings_dir" || return 1
  ensure_public_dir "$settings_dir/config" || return 1
  if [ ! -h "$settings_dir/config" ]; then
    give_to_root "$settings_dir/config" || return 1
  fi
  grant_dirs "$settings_dir/proxy"
}
give_to_root() {
  if [ -d "$1" ]; then
    root_mode=0755
  elif [ -f "$1" ]; then
    root_mode=0644
  else
    return 0
  fi
  if [ "$1" != /var/lib/istio ]; then
    refuse_link "$1" || return 1
  fi
  if [ -f "$1" ] && [ "$(stat -c %h "$1")" != 1 ]; then
    refuse_hard_link "$1"
    return
  fi
  chown root:root "$1" &&
    chmod "$root_mode" "$1"
}
refuse_link() {
  if [ -h "$1" ]; then
    refuse "$1 is a link: whoever made it would choose what becomes root's"
  fi
}
# One that is root's already stays as it is.
refuse_hard_link() {
  if [ "$(stat -c %u "$1")" != 0 ]; then
    refuse "$1 is a hard link to somebody's file, which would become root's"
  fi
}

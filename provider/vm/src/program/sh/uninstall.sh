
# Does: removes Istio's package and the proxy's user.
# Needs: base closed emit package
# Gives: remove_package repair_package remove_user
# Owns: nothing of its own
# Undo: nothing to undo: the files are in the set before, or not wanted any more
remove_package() {
  repair_package
  if ! await "$PACKAGE_LOCK_WAIT" try_remove || is_registered; then
    refuse "the package could not be removed
$(cat "$run_dir/out")"
    return
  fi
  # The package manager removes even that, once it is empty.
  ensure_public_dir "$BIN_DIR"
  rm -f "$state_dir/installed" "$state_dir/package" /etc/systemd/system/*.wants/istio.service
  systemctl daemon-reload
}
# Fails while another package manager holds the lock.
try_remove() {
  set --
  if is_half_installed; then
    set -- --force-remove-reinstreq
  fi
  if have dpkg; then
    dpkg "$@" --purge istio-sidecar
  elif have rpm; then
    rpm -e --allmatches istio-sidecar
  fi >"$run_dir/out" 2>&1 9>&- </dev/null
  emit $? >"$run_dir/code"
  ! is_locked
}
is_registered() {
  if have dpkg-query; then
    dpkg-query -W -f '${db:Status-Status}' istio-sidecar 2>/dev/null | grep -qv '^not-installed'
  else
    have rpm &&
      rpm -q istio-sidecar >/dev/null 2>&1
  fi
}
# A package manager that was killed at work refuses to remove the package, or forgets what it had unpacked, unless the same
# package is installed first. Where that fails, the next step reports it.
repair_package() {
  if [ -e "$state_dir/run/package" ] && is_half_installed; then
    if ! install_package 2>"$run_dir/repair"; then
      journal_lines <"$run_dir/repair"
    fi
  fi
  # What it was writing has a name of its own, which nothing removes.
  list_unpacked_files | while IFS= read -r unpacked_file; do
    if [ -n "$unpacked_file" ]; then
      rm -f "$unpacked_file.dpkg-new" "$unpacked_file.dpkg-tmp" "$unpacked_file;"*
    fi
  done
}
list_unpacked_files() {
  package_files
  printf '%s\n' /lib/systemd/system/istio.service /var/lib/istio/envoy/sidecar.env
  list_rpm_files
}
# An rpm has links beside its files, by the ids of their builds.
list_rpm_files() {
  have dpkg ||
    rpm -qpl "$state_dir/run/package" 2>/dev/null
}
is_half_installed() {
  if have dpkg-query; then
    dpkg-query -W -f '${db:Status-Eflag} ${db:Status-Status}\n' istio-sidecar 2>/dev/null |
      grep -qE '^reinstreq|half-|unpacked$'
  else
    [ "$(rpm -q istio-sidecar 2>/dev/null | grep -c '^istio-sidecar')" != 1 ]
  fi
}
# Unless the user was there before the first run.
remove_user() {
  if [ -e "$state_dir/found/user" ] || ! id istio-proxy >/dev/null 2>&1; then
    return 0
  fi
  if have userdel; then
    userdel istio-proxy
  else
    deluser istio-proxy
  fi >/dev/null 2>&1
  if have groupdel; then
    groupdel istio-proxy
  else
    delgroup istio-proxy
  fi >/dev/null 2>&1
  return 0
}


# Does: the step install for Istio's package: installs it, and gives files their owners.
# Needs: base container emit follow keep owners set uninstall
# Gives: package_version do_install package_files unit_file install_package is_locked undo_install
# Owns: the files of the package; the user istio-proxy; installed and package in the state directory
# Undo: undo_install removes a package that this run installed first, or restores the files of the one before
package_version() {
  if have dpkg-query; then
    dpkg-query -W -f '${db:Status-Status} ${Version}' istio-sidecar 2>/dev/null | sed -n 's/^installed //p'
  elif have rpm; then
    rpm -q --qf '%{VERSION}' istio-sidecar 2>/dev/null | grep -v ' '
  fi
}
do_install() {
  if ! id istio-proxy >/dev/null 2>&1; then
    : >"$state_dir/run/user"
  fi
  # A link to the unit may lead to that of the other runtime.
  if [ "$(engine)" != "$(field engine)" ]; then
    rm -f "$UNITS_DIR/multi-user.target.wants/istio.service"
  fi
  if has engine; then
    install_container
    return
  fi
  if [ -e "$state_dir/engine" ]; then
    rm -f "$UNITS_DIR/istio.service" "$state_dir/engine" "$state_dir/image" "$state_dir/proxy" || return 1
  fi
  if [ -e "$state_dir/run/package" ]; then
    install_staged_package || return 1
  fi
  fix_owners
}
install_staged_package() {
  if [ -z "$(package_version)" ]; then
    : >"$state_dir/run/fresh" &&
      : >"$state_dir/installed"
  else
    keep_package_files || return 1
  fi
  keep_file "$state_dir/run/keep" "$state_dir/package" &&
    commit_copies &&
    install_package &&
    emit "$(field sha256) $(package_version)" >"$state_dir/package"
}
keep_package_files() {
  for kept_package_file in $(package_files); do
    keep_file "$state_dir/run/keep" "$kept_package_file" || return 1
  done
}
package_files() {
  printf '%s\n' "$BIN_DIR/envoy" "$BIN_DIR/pilot-agent" "$BIN_DIR/istio-start.sh" \
    /var/lib/istio/envoy/envoy_bootstrap_tmpl.json "$(unit_file)"
}
unit_file() { systemctl show -p FragmentPath istio.service 2>/dev/null | sed -n 's/^FragmentPath=//p'; }
# Another package manager may hold the lock on a fresh machine: waits for it, within bounds.
install_package() {
  if await "$PACKAGE_LOCK_WAIT" has_installed_or_is_recalled && [ "$(line_of "$run_dir/code")" = 0 ]; then
    return 0
  fi
  refuse "$(cat "$run_dir/out")"
}
has_installed_or_is_recalled() {
  try_install ||
    is_recalled
}
# Fails while another package manager holds the lock.
try_install() {
  (
    umask 022
    exec 9>&- </dev/null
    if have dpkg; then
      DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold -i "$state_dir/run/package"
    else
      rpm -U --replacepkgs --oldpackage "$state_dir/run/package"
    fi
  ) >"$run_dir/out" 2>&1
  emit $? >"$run_dir/code"
  ! is_locked
}
is_locked() {
  [ "$(line_of "$run_dir/code")" != 0 ] &&
    grep -qiE '(is|was) locked by|transaction lock' "$run_dir/out"
}
# The package manager's own records cannot be undone: as the state has no digest of the package then, the next bootstrap
# installs the package that it wants, whichever is registered.
undo_install() {
  if [ -e "$state_dir/run/fresh" ]; then
    remove_package || return 1
    restore_set "$state_dir/run/keep" || return 1
  else
    repair_package
    restore_set "$state_dir/run/keep" || return 1
    report_registered_package || return 1
  fi
  if [ -e "$state_dir/run/user" ]; then
    remove_user
  fi
}
report_registered_package() {
  if [ -e "$state_dir/run/keep/set$BIN_DIR/pilot-agent" ]; then
    : >"$state_dir/package" || return 1
    emit "istio-sidecar $(package_version) is registered, with the files of before" | journal_lines
  fi
}

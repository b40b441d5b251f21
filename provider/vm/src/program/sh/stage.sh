
# Does: the step stage: fetches and checks what is needed before anything stops.
# Needs: base container emit fetch fits package
# Gives: do_stage needs_package
# Owns: run/package in the state directory
# Undo: the undo log is removed with it; an image stays with the engine
do_stage() {
  if has find-address; then
    find_address || return 1
  fi
  if has engine; then
    pull_image
    return
  fi
  needs_package || return 0
  if ! has url; then
    find_release || return 1
  fi
  fetch "$(field url)" "$state_dir/run/package" || return 1
  package_sum=$(digest_of "$state_dir/run/package")
  if [ "$package_sum" != "$(field sha256)" ]; then
    refuse "the package has SHA-256 $package_sum, not $(field sha256)"
    return
  fi
  package_fits
}
# digest_of FILE: prints its SHA-256. openssl, where it is, uses the processor's instructions for it, and is five times as fast.
digest_of() {
  {
    openssl dgst -sha256 -r "$1" 2>/dev/null ||
      sha256sum "$1"
  } | cut -d ' ' -f 1
}
# Puts the VM's own address into the settings that are about to be placed.
find_address() {
  own_address=$(outward_address)
  if [ -z "$own_address" ]; then
    refuse 'there is no route to the control plane, so the VM has no address for it'
    return
  fi
  sed -i "s/^ISTIO_SVC_IP=.*/ISTIO_SVC_IP=$own_address/" "$run_dir"/in/file.*.content
}
# Prints the address that connections to the control plane come from, else those to anywhere.
outward_address() {
  route_host=$(field control-plane)
  route_host=${route_host%:*}
  route_host=${route_host#'['}
  route_host=${route_host%']'}
  for route_target in $(field hosts | cut -d ' ' -f 1) $(getent ahosts "$route_host" 2>/dev/null | cut -d ' ' -f 1) \
    192.0.2.1 2001:db8::1; do
    ip -o route get "$route_target" 2>/dev/null
  done |
    sed -n 's/.* src \([0-9a-f.:]*\).*/\1/p' |
    head -n 1
}
# Whether a package must be fetched: the one that is named; or Istio's, where none or another version is installed.
needs_package() {
  if has url; then
    ! is_wanted_installed
    return
  fi
  has release || return 1
  present_version=$(package_version)
  [ -n "$present_version" ] || return 0
  has version || return 1
  [ "$present_version" != "$(field version | sed 's/-//')" ]
}
# Somebody else may have installed another one since, or removed it.
is_wanted_installed() {
  wanted_version=$(package_version)
  [ -n "$wanted_version" ] || return 1
  [ "$(line_of "$state_dir/package")" = "$(field sha256) $wanted_version" ]
}


# Does: checks whether the proxy can be installed and started: the package, or the container engine.
# Needs: base checks container emit package stage users
# Gives: check_runtime
# Owns: nothing
# Undo: nothing to undo: a check reads only
check_runtime() {
  if has engine; then
    check_engine
  else
    check_sudo
    check_package
  fi
}
check_engine() {
  if found_engine=$(probe_engine); then
    judge runtime "$found_engine" true
  else
    judge runtime "$found_engine" false
  fi
}
# Prints the engine where it works, else why it does not: a daemon that does not run is reported in the engine's words.
probe_engine() {
  probed_engine=$(field engine)
  if ! have "$probed_engine"; then
    emit "$probed_engine is not installed"
    return 1
  fi
  if ! engine_output=$(HOME=${HOME:-/root} timeout 20 "$probed_engine" info 2>&1); then
    emit "$engine_output" | grep -iE 'error|cannot' | head -n 1
    return 1
  fi
  emit "$probed_engine"
}
check_sudo() {
  if has_setpriv; then
    judge sudo 'not needed: there is setpriv' true
  else
    judge sudo "$(sudo -V 2>/dev/null | head -n 1)" sudo_works nobody
  fi
}
check_package() {
  found_version=$(package_version)
  judge package "${found_version:-not installed}" can_install
}
can_install() {
  [ -z "$found_version" ] || return 0
  needs_package || return 1
  can_fetch || return 1
  have dpkg || have rpm
}
# busybox's wget only takes addresses as arguments, where everybody could read them.
can_fetch() {
  fetch_url=$(field url)
  case $fetch_url in
  file://*) [ -r "${fetch_url#file://}" ] ;;
  *) have curl || wget --version >/dev/null 2>&1 ;;
  esac
}

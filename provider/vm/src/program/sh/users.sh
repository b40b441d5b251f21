
# Does: runs commands as the proxy's user or group, whose traffic interception leaves alone.
# Needs: emit
# Gives: as_proxy as_proxy_group has_setpriv sudo_works is_input_recorded
# Owns: nothing
# Undo: nothing to undo
as_proxy() {
  if ! id istio-proxy >/dev/null 2>&1; then
    "$@"
  elif has_setpriv; then
    setpriv --reuid "$(id -u istio-proxy)" --regid "$(id -g istio-proxy)" --init-groups "$@"
  else
    sudo -n -u istio-proxy "$@"
  fi
}
as_proxy_group() {
  if ! id istio-proxy >/dev/null 2>&1; then
    "$@"
  elif has_setpriv; then
    setpriv --regid "$(id -g istio-proxy)" --keep-groups "$@"
  else
    sudo -n -g istio-proxy "$@"
  fi
}
# setpriv changes user without what sudo may need: a policy, a terminal, or a name to look up. busybox has another setpriv.
# Asked once: it stays as it is.
setpriv_user=
has_setpriv() {
  if [ -z "$setpriv_user" ]; then
    setpriv_user=$(setpriv --reuid 65534 --regid 65534 --clear-groups id -u 2>/dev/null || emit none)
  fi
  [ "$setpriv_user" = 65534 ]
}
# sudo_works USER: a sudo that drops the environment, or wants a terminal, keeps istio-start.sh from working.
# shellcheck disable=SC2016 # expanded by the inner shell
sudo_works() { MESH=1 setsid sudo -n -E -u "$1" sh -c '[ "$MESH" = 1 ]' </dev/null >/dev/null 2>&1; }
# Whether the sudo that started this program keeps what it is sent: the token, too.
is_input_recorded() {
  [ -n "${SUDO_USER:-}" ] || return 1
  sudo -n -l -U "$SUDO_USER" 2>/dev/null |
    tr -s ', ' '[\n*]' |
    grep -qxE 'log_(input|stdin)'
}


# Does: checks the path to the control plane, as the proxy would take it.
# Needs: base checks emit users
# Gives: check_network
# Owns: nothing
# Undo: nothing to undo: a check reads only
check_network() {
  control_plane=$(field control-plane)
  control_host=${control_plane%:*}
  control_port=${control_plane##*:}
  if ! proxy_error=$(as_proxy true 2>&1); then
    emit_unknown control-plane "no command runs as istio-proxy: $proxy_error"
    return
  fi
  if has hosts; then
    control_host=$(field hosts | cut -d ' ' -f 1)
  else
    check_dns "$control_host"
  fi
  if have bash || have nc; then
    judge control-plane "$control_host port $control_port" can_connect "$control_host" "$control_port"
  else
    emit_unknown control-plane "$control_host port $control_port: there is neither bash nor nc"
  fi
  if has root && have curl; then
    tls_error=$(tls_name_error)
    judge tls-name "${tls_error:-$(field tls-name)}" [ -z "$tls_error" ]
  fi
}
check_dns() {
  if have getent; then
    judge dns "$1" resolves "$1"
  else
    emit_unknown dns "$1: there is no getent"
  fi
}
resolves() { as_proxy getent ahosts "$1" >/dev/null; }
# shellcheck disable=SC2016 # expanded by bash
can_connect() {
  if have bash; then
    as_proxy timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
  elif have nc; then
    as_proxy timeout 5 nc -z "$1" "$2" 2>/dev/null
  fi
}
# Prints what curl reports where the certificate of the control plane, which the trust root has signed, has another name.
# The proxy reports all else. As the proxy's group: its user cannot read the root, and neither is intercepted.
tls_name_error() {
  tls_host=$control_host
  case $tls_host in
  '['*) ;;
  *:*) tls_host="[$tls_host]" ;;
  esac
  as_proxy_group curl -qsS -m 5 -o /dev/null --noproxy '*' --cacert "$run_dir/in/root" \
    --connect-to "::$tls_host:$control_port" "https://$(field tls-name):$control_port/" 2>&1 |
    grep -iE 'certificate.*match'
}

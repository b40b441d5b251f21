
# Does: checks the path to the control plane, as the proxy would take it.
# Needs: base checks emit hosts users
# Gives: can_connect check_network
# Owns: certificate in the run's directory
# Undo: nothing to undo: a check reads only
check_network() {
  control_plane=$(field control-plane)
  control_host=${control_plane%:*}
  control_port=${control_plane##*:}
  resolved_by=
  if ! proxy_error=$(as_proxy true 2>&1); then
    emit_unknown control-plane "no command runs as istio-proxy: $proxy_error"
    return
  fi
  if has hosts; then
    control_host=$(field hosts | cut -d ' ' -f 1)
    preferred_lines=$(list_preferred_lines "$control_host" "$(field hosts | cut -d ' ' -f 2-)")
    judge hosts "$preferred_lines" [ -z "$preferred_lines" ]
  else
    check_dns "$control_host"
    resolved_by=$(hosts_line_of "$control_host" "${resolved_address:-}")
  fi
  check_connection
  if has root && have curl; then
    check_certificate
  elif [ -n "$resolved_by" ]; then
    emit_unknown hosts "$control_host$resolved_by: whether that is the control plane is not known without curl"
  fi
}
check_connection() {
  if have bash || have nc; then
    judge control-plane "$control_host port $control_port$resolved_by" can_connect "$control_host" "$control_port"
  else
    emit_unknown control-plane "$control_host port $control_port: there is neither bash nor nc"
  fi
}
check_dns() {
  if ! have getent; then
    emit_unknown dns "$1: there is no getent"
    return
  fi
  resolved_address=$(as_proxy getent ahosts "$1" | awk '{ print $1; exit }')
  judge dns "$1" [ -n "$resolved_address" ]
}
# hosts_line_of NAME ADDRESS: prints which line of the hosts file gives the name this address, if one does.
hosts_line_of() {
  list_others_lines "$1" | while read -r resolved_line resolved_to _; do
    if [ "$resolved_to" = "$2" ]; then
      emit ", which is $2 by line $resolved_line of $HOSTS_FILE"
      break
    fi
  done
}
# The proxy reports most of what is wrong with a certificate. But where a line of the hosts file leads to whoever shows it,
# the trust root is right and the line is wrong. An expired certificate does not show whose it is.
check_certificate() {
  probe_certificate >"$run_dir/certificate"
  tls_error=$(grep -iE 'certificate.*match' "$run_dir/certificate")
  judge tls-name "${tls_error:-$(field tls-name)}" [ -z "$tls_error" ]
  if [ -n "$resolved_by" ] && has other-root; then
    emit_unknown hosts "$control_host$resolved_by: whether that is the control plane is not known with XDS_ROOT_CA"
  elif [ -n "$resolved_by" ]; then
    root_error=$(grep -iE 'unable to get (local )?issuer|self.signed|signature failure' "$run_dir/certificate")
    judge hosts "$control_host$resolved_by${root_error:+; $root_error}" [ -z "$root_error" ]
  fi
}
# shellcheck disable=SC2016 # expanded by bash
can_connect() {
  if have bash; then
    as_proxy timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
  elif have nc; then
    as_proxy timeout 5 nc -z "$1" "$2" 2>/dev/null
  fi
}
# Prints what curl reports of the control plane's certificate. As the proxy's group: its user cannot read the root, and
# neither is intercepted.
probe_certificate() {
  tls_host=$control_host
  case $tls_host in
  '['*) ;;
  *:*) tls_host="[$tls_host]" ;;
  esac
  as_proxy_group curl -qsS -m 5 -o /dev/null --noproxy '*' --cacert "$run_dir/in/root" \
    --connect-to "::$tls_host:$control_port" "https://$(field tls-name):$control_port/" 2>&1
}

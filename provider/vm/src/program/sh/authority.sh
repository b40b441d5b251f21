
# Does: checks the path to a certificate authority that is not istiod, as the proxy would take it.
# Needs: base checks emit network users
# Gives: check_authority
# Owns: nothing
# Undo: nothing to undo: a check reads only
check_authority() {
  has ca || return 0
  ca_address=$(field ca)
  find_ca
  if ! as_proxy true 2>/dev/null; then
    emit_unknown ca "$ca_address: no command runs as istio-proxy"
  elif ! has_ca_address; then
    judge ca-dns "$ca_address: no address of $ca_name" false
  elif have bash || have nc; then
    judge ca "$ca_address" can_connect "$ca_host" "$ca_port"
    check_ca_certificate
  else
    emit_unknown ca "$ca_address: there is neither bash nor nc"
  fi
}
# The line of the hosts file comes with the bootstrap.
find_ca() {
  ca_port=${ca_address##*:}
  ca_name=${ca_address%:*}
  ca_name=${ca_name#'['}
  ca_name=${ca_name%']'}
  ca_host=$ca_name
  if [ "$(field hosts | cut -d ' ' -f 2)" = "$ca_name" ]; then
    ca_host=$(field hosts | cut -d ' ' -f 1)
  fi
}
has_ca_address() {
  if have getent; then
    as_proxy getent ahosts "$ca_host" >/dev/null
  fi
}
check_ca_certificate() {
  if [ "$judged_verdict" = bad ] || [ "$(field ca-root)" = unknown ]; then
    return 0
  fi
  if ! have curl; then
    emit_unknown ca-certificate "$ca_address: there is no curl"
    return
  fi
  ca_error=$(ca_certificate_error)
  judge ca-certificate "$ca_address${ca_error:+: $ca_error}" [ -z "$ca_error" ]
}
# Prints what curl reports of a certificate that the proxy refuses, or of a port without TLS. All else says nothing: the
# authority speaks gRPC, and may want a certificate of its callers.
ca_certificate_error() {
  ca_connect=$ca_host
  case $ca_connect in
  *:*) ca_connect="[$ca_connect]" ;;
  esac
  set -- --cacert "$run_dir/in/root"
  case $(field ca-root) in
  system) set -- ;;
  /*) set -- --cacert "$(field ca-root)" ;;
  esac
  ca_output=$(as_proxy_group curl -qsS -m 5 -o /dev/null --noproxy '*' --no-alpn "$@" \
    --connect-to "::$ca_connect:$ca_port" "https://$ca_address/" 2>&1)
  case $?:$ca_output in
  51:* | 60:* | 77:* | 35:*'wrong version'* | 35:*'unexpected TLS packet'*) emit "$ca_output" ;;
  esac
}

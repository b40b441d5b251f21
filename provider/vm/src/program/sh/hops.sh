
# Does: names the hop that fails, from what the proxy logs.
# Needs: base emit
# Gives: hop_of_log hop_of_authority
# Owns: requests in the run's directory
# Undo: nothing to undo
# hop_of_log FILE: prints the first hop whose pattern the log matches.
hop_of_log() {
  while IFS='=' read -r hop_name hop_pattern; do
    if grep -qE "$hop_pattern" "$1"; then
      emit "$hop_name"
      return
    fi
  done <<'HOPS'
clock=certificate has expired or is not yet valid
tls-name=x509: certificate is (not )?valid for|cannot validate certificate for
trust-root=signed by unknown authority
service-account=PermissionDenied|not authorized
token=Unauthenticated|authentication failure|istio-token: (no such|permission)
ports=cannot bind|address already in use
dns=no such host|server misbehaving|lookup .*: i/o timeout
control-plane=connection refused|i/o timeout|no route to host|network is unreachable|context deadline exceeded
HOPS
}
# hop_of_authority FILE: prints the hop at a certificate authority that is not istiod, by the requests for a certificate.
hop_of_authority() {
  has ca || return 0
  grep -E 'create certificate|sign CSR' "$1" >"$run_dir/requests"
  case $(hop_of_log "$run_dir/requests") in
  dns) emit ca-dns ;;
  control-plane) emit ca ;;
  tls-name | trust-root) emit ca-certificate ;;
  token | service-account) emit ca-token ;;
  esac
}

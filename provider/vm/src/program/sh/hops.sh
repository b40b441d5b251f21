
# Does: names the hop that fails, from what the proxy logs.
# Needs: emit
# Gives: hop_of_log
# Owns: nothing
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

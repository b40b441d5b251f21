
# What a bootstrap leaves, to be compared with later: content, owners and modes, and which proxy it is.
# How the unit runs is said there, by us and by whoever put something beside it. What a package brings is its own.
written() {
  for f in "$UNITS/istio.service" "$DROP"/*.conf /run/systemd/system/istio.service /run/systemd/system/istio.service.d/*.conf "$S/proxy" "$ROTATE"; do
    [ ! -f "$f" ] || say "$f"
  done
  own_parts | while IFS= read -r text; do
    [ ! -f "$text" ] || say "$text"
  done
}
# What the unit reads in our folder.
own_parts() { printf '%s\n' "$S/guard" "$S/bin/sudo" "$S/engine" "$S/image"; }
sums() { written | while IFS= read -r text; do sha256sum "$text"; done; }
# Lines `owner:group mode path` of what only root may write, and of the programs whose group tells the proxy's traffic from
# others': an upgrade of the package gives them other owners. The folder of settings is looked at for itself, and a placed
# file by its own mode.
modes() {
  v=${S%/*}
  for f in "$v/config" "$v/bin" "$v"/envoy/*.env; do
    if [ -e "$f" ] && ! grep -qsxF "$f" "$S/files"; then stat -L -c '%U:%G %a %n' "$f"; fi
  done
  if has tproxy; then stat -c '%U:%G %a %n' "$BIN/envoy" "$BIN/pilot-agent"; fi
}
# What the machine and its proxy are: lines of `observe` and of a final bootstrap.
identity() {
  [ ! -r /etc/machine-id ] || say "machine $(b64 </etc/machine-id)"
  if [ -e "$S/engine" ]; then
    say "runtime $(engine)"
    v=$(contain inspect -f '{{index .Config.Labels "mesh-vm.image"}}' istio-proxy 2>/dev/null) && say "image $(say "$v" | b64)"
    v=$(agent version --short 2>/dev/null | sed -n "s/.*version: *//p")
  else v=$(version); fi
  [ -n "$v" ] && say "version $(printf %s "$v" | b64)"
  # The first certificate only; the rest is the mesh's chain.
  v=$(peek "$CERTS/cert-chain.pem" sed '/END CERT/q') && say "certificate $(say "$v" | b64)"
  :
}

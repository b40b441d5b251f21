
# observe and check: what this machine and its proxy are. Writes nothing.
verb_check() { checks; say 'report checked'; }
verb_observe() {
  v=$(claim)
  [ -z "$v" ] || say "owner $(say "$v" | b64)"
  for f in "$d"/in/file.*.path; do
    [ -e "$f" ] || continue
    path=$(cat "$f")
    say "file $(b64 <"$f") $(seen "$path")"
  done
  [ ! -e "$S/sums" ] || strange | sort -u | while IFS= read -r text; do say "changed $(printf %s "$text" | b64)"; done
  [ -z "$suspect" ] || say "changed $(printf %s "$suspect" | b64)"
  # Root sources what is in it: an upgrade of the package gives it back to the proxy's user.
  if [ -e "$S/sums" ] && [ -e "$ENVOY" ] && ! closed "$ENVOY"; then say "changed $(printf %s "$ENVOY" | b64)"; fi
  [ ! -e "$S/modes" ] || opened | while IFS= read -r text; do say "changed $(printf %s "$text" | b64)"; done
  block | while IFS= read -r text; do say "hosts $(printf %s "$text" | b64)"; done
  unit && say "unit $(systemctl is-active istio.service) $(systemctl is-enabled istio.service 2>/dev/null)"
  identity
  ready && say 'ready yes'
  jumps | sed 's/^/jump /'
  lost | sed 's/^/lost /'
  if [ -d "$S/run" ] && ! ended; then
    v=$(last_step)
    say "unfinished ${v:-keep}"
  elif [ -e "$S/owner" ] && ! marked >/dev/null; then say 'unfinished place'; fi
  say 'report observed'
}
# What lies at PATH: `missing`, `odd` with why, or owner, mode and content.
# shellcheck disable=SC2016 # the inner shell expands it
seen() {
  if [ ! -e "$1" ] && [ ! -h "$1" ]; then say missing
  elif found=$(peek "$1" sh -c 'stat -L -c "%U %a" /proc/self/fd/0 && head -c "$1" | base64' sh "$LARGEST"); then
    say "$found" | { read -r access && printf '%s ' "$access" && tr -d '\n' && say ''; }
  else say "odd $({ odd "$1" || say 'changes while it is read'; } | b64)"; fi
}
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
# What of that is not as the last bootstrap left it: changed, gone or new.
strange() {
  sums | cat - "$S/sums" | sort | uniq -u | cut -c 67- | while IFS= read -r text; do
    unlisted "$text" || say "$text"
  done
  # An engine gives each container an id of its own, so one that somebody made has another, whatever its options.
  [ ! -e "$S/engine" ] || [ ! -e "$CID" ] || ! v=$(contain inspect -f '{{.Id}}' istio-proxy 2>/dev/null) || [ "$v" = "$(cat "$CID")" ] || say 'the container istio-proxy'
}
# Older versions made no sums of our own parts, which are no difference then.
unlisted() { own_parts | grep -qxF "$1" && ! cut -c 67- "$S/sums" | grep -qxF "$1"; }
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
# What of that is not as it was at the last bootstrap; what is gone is no matter of modes.
opened() {
  while read -r who mode path; do
    is=$(stat -L -c '%U:%G %a' "$path" 2>/dev/null) || continue
    [ "$is" = "$who $mode" ] || say "$path ($is, was $who $mode)"
  done <"$S/modes"
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

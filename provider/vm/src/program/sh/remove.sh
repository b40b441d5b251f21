
# Taking this machine out of the mesh.
run_remove() {
  [ -e "$S/owner" ] || finish removed
  ours || finish "foreign $(b64 <"$S/owner")"
  log 'step stop' && hook stop
  systemctl -q disable istio.service 2>/dev/null; disarm
  { drain && halt && sweep MESH_; } 2>"$d/err" || serve_on
  log 'step clean' && hook clean
  : >"$d/block"
  { hosts "$d/block" && restore "$S/found" && rm -rf "${TOKEN%/*}"; } 2>"$d/err" || { log 'failed clean' && lines <"$d/err" && finish reverted; }
  [ ! -e "$S/loose" ] || cat "$S/loose" >"$LOOSE" 2>/dev/null
  log 'step uninstall' && hook uninstall
  { { [ ! -e "$S/installed" ] || uninstall; } && drop_user; } 2>"$d/err" || { log 'failed uninstall' && lines <"$d/err" && finish reverted; }
  systemctl reset-failed istio.service 2>/dev/null
  forget
  for f in $gone "$S" "$R/token-before"; do if [ -e "$f" ] || [ -h "$f" ]; then log "left $(printf %s "$f" | b64)"; fi; done
  finish removed
}
# A proxy that cannot be stopped has its traffic back, so it must run.
serve_on() {
  log 'failed stop' && lines <"$d/err"
  { systemctl -q enable istio.service && systemctl start istio.service; } 2>/dev/null || finish 'halfway stop'
  finish reverted
}
# A uid that one side does not know is no difference.
ours() {
  read -r theirs id <"$S/owner" # an empty uid leaves the id in its place
  field owner >"$d/owner" && read -r uid mine <"$d/owner"
  [ "${id:-$theirs}" = "${mine:-$uid}" ] && { [ "$theirs" = "$uid" ] || [ -z "$id" ] || [ -z "$mine" ]; }
}
# Takes away the folders that were not there before the first run.
forget() {
  gone=; for f in $DIRS; do grep -qxF "$f" "$S/found/dirs" 2>/dev/null || gone="$gone $f"; done
  close
  rm -rf "$S"
  # What somebody else put beside our drop-in is not ours.
  for f in $gone; do if [ "$f" != "$DROP" ] || [ -z "$(ls -A "$f" 2>/dev/null)" ]; then rm -rf "$f"; fi; done
  systemctl daemon-reload 2>/dev/null
}


# Taking this machine out of the mesh.
run_remove() {
  # A first bootstrap that could not be taken back has no mark yet.
  if [ ! -e "$S/owner" ] && [ ! -e "$S/run/steps" ]; then
    unbegun
    finish removed
  fi
  ours || finish "foreign $(claim | b64)"
  log 'step stop' && hook stop
  systemctl -q disable istio.service 2>/dev/null; disarm
  { drain && halt && sweep "$OURS"; } 2>"$d/err" || serve_on
  log 'step clean' && hook clean
  : >"$d/block"
  at "${TOKEN%/*}" rm -f "./${TOKEN##*/}"
  { hosts "$d/block" && restore "$S/found"; } 2>"$d/err" || { log 'failed clean' && lines <"$d/err" && finish reverted; }
  [ ! -e "$S/loose" ] || cat "$S/loose" >"$LOOSE" 2>/dev/null
  log 'step uninstall' && hook uninstall
  { { [ ! -e "$S/installed" ] || uninstall; } && drop_user; } 2>"$d/err" || { log 'failed uninstall' && lines <"$d/err" && finish reverted; }
  systemctl reset-failed istio.service 2>/dev/null
  flush_all 2>"$d/err" || { log 'failed clean' && lines <"$d/err" && finish reverted; }
  forget
  left | head -n 20 | while IFS= read -r text; do log "left $(printf %s "$text" | b64)"; done
  flush_all 2>/dev/null
  finish removed
}
# What is left of a bootstrap that a power cut kept from beginning.
unbegun() {
  if [ -e "$S/found/dirs" ]; then
    forget
  elif [ -d "$S" ] && [ ! -e "$S/found/paths" ]; then
    close
    discard "$S"
    rmdir "${S%/*}" 2>/dev/null
  fi
}
# A proxy that cannot be stopped has its traffic back, so it must run.
serve_on() {
  log 'failed stop' && lines <"$d/err"
  { systemctl -q enable istio.service && systemctl start istio.service; } 2>/dev/null || finish 'halfway stop'
  finish reverted
}
# A uid that one side does not know is no difference.
ours() {
  claim >"$d/claim"
  [ -s "$d/claim" ] || return 0
  read -r theirs id <"$d/claim" # an empty uid leaves the id in its place
  field owner >"$d/owner" && read -r uid mine <"$d/owner"
  [ "${id:-$theirs}" = "${mine:-$uid}" ] && { [ "$theirs" = "$uid" ] || [ -z "$id" ] || [ -z "$mine" ]; }
}
# Takes away the folders that were not there before the first run, unless others put something there.
forget() {
  gone=
  for f in $DIRS; do before "$f" || gone="$gone $f"; done
  above=$(owned_before)
  for f in $gone; do
    case $f in
    "$LOG") rm -f "$f"/istio.log[.-]* "$f"/istio.err.log[.-]* ;;
    "${TOKEN%/*}") at "$f" rm -f "./${TOKEN##*/}" ;;
    "$SDS") at "$f" rm -f ./socket ;;
    esac
    if [ -h "$f" ]; then rm -f "$f"; else rmdir "$f" 2>/dev/null; fi
  done
  # The list of what was there before goes last: what a power cut breaks off can be begun again.
  close
  discard "$S"
  case " $gone " in *" ${S%/*} "*) rmdir "${S%/*}" 2>/dev/null ;; esac
  # shellcheck disable=SC2086 # owner and mode, or nothing
  give_back $above
  systemctl daemon-reload 2>/dev/null
}
# Whether a folder was there before the first run. Older versions wrote down the outermost only.
before() {
  grep -qxF "$1" "$S/found/dirs" 2>/dev/null && return 0
  ! grep -qx all "$S/found/dirs" 2>/dev/null && grep -qxF "${1%/*}" "$S/found/dirs" 2>/dev/null
}
# What is in folders that were to go, and what of ours did not.
left() {
  for f in $gone; do
    [ -d "$f" ] || continue
    for inner in "$f"/* "$f"/.[!.]*; do
      case " $gone " in *" $inner "*) continue ;; esac
      if [ -e "$inner" ] || [ -h "$inner" ]; then say "$inner"; fi
    done
  done
  for f in "$S" "$R/token-before"; do
    if [ -e "$f" ] || [ -h "$f" ]; then say "$f"; fi
  done
}


# The journal of a run: written before each step, and read to take the run back.
last_step() { tail -n 1 "$S/run/steps" 2>/dev/null; }
# The journal is written before the step: what it names may have happened.
step() {
  log "step $1"
  [ "$1" = check ] || note "$1" 2>"$d/err" || return 1
  hook "$1"; "do_$1" 2>"$d/err"
}
# What takes a step back is on the disk before the step begins.
note() {
  [ "$(cat "$S/run/id" 2>/dev/null)" = "$run" ] || journal || return 1
  say "$1" >>"$S/run/steps" || return 1
  ! have "undo_$1" || flush "$S"
}
journal() {
  begin && return 0
  # Nothing of it is left: no step has begun.
  close
  rm -rf "$S/run.new"
  if [ ! -e "$S/found/dirs" ] && [ ! -e "$S/owner" ]; then
    rm -rf "$S"
    rmdir "${S%/*}" 2>/dev/null
  fi
  return 1
}
# The journal is there as a whole or not at all, and so is the list of folders that were there before us.
begin() {
  there=$(for f in $DIRS; do [ ! -e "$f" ] || say "$f"; done)
  new=$S/run.new
  reclaim && folder "$S/found" && discard "$S/run" || return 1
  rm -rf "$new" && mkdir "$new" || return 1
  : >"$new/steps" && cp "$d/program" "$new/program" && say "$run" >"$new/id" || return 1
  [ ! -e "$d/above" ] || [ -e "$S/found/above" ] || cp "$d/above" "$S/found/above.new" || return 1
  [ -e "$S/found/dirs" ] || printf '%s\n' all "$there" >"$S/found/dirs.new" || return 1
  # A link by hand needs no reload: it is for the next boot.
  printf '%s\n' '[Unit]' 'Description=Takes back a bootstrap that was cut off' 'Before=istio.service' "ConditionPathExists=$S/run/program" \
    '[Service]' 'Type=oneshot' "ExecStart=/bin/sh $S/run/program boot $run" >"$d/unit" &&
    put "$d/unit" "$UNITS/$UNDO" root 0644 && (umask 022 && folder "$UNITS/multi-user.target.wants") &&
    ln -sf "../$UNDO" "$UNITS/multi-user.target.wants/$UNDO" || return 1
  flush "$S" "$UNITS" || return 1
  for f in above dirs; do
    [ ! -e "$S/found/$f.new" ] || mv -f "$S/found/$f.new" "$S/found/$f" || return 1
  done
  mv -T "$new" "$S/run"
}
# At the end of the journal: a boot has nothing to take back.
close() { rm -f "$UNITS/$UNDO" "$UNITS/multi-user.target.wants/$UNDO"; }
# What could not be undone stays in the journal, and the set before with it, for the next run.
undo() {
  if [ ! -e "$S/run/steps" ] || ended; then return 0; fi
  undone=1
  sed '1!G;h;$!d' "$S/run/steps" >"$d/undo"
  while read -r s <&5; do
    log "undo $s"
    ! have "undo_$s" || "undo_$s" 2>"$d/err" || { say "undoing $s failed" >>"$d/err" && lines <"$d/err" && undone=; }
  done 5<"$d/undo"
  [ -n "$undone" ] || return 1
  # The copies go when what was put back is on the disk.
  flush_all 2>"$d/err" || { lines <"$d/err"; return 1; }
  rm -rf "$R/token-before"
  if [ ! -e "$S/owner" ]; then
    forget_first
    return 0
  fi
  close
  discard "$S/run"
}
# What ends the journal, and with it the set before, is the new set on the disk.
conclude() {
  rm -f "$S/run/end"
  flush_all && ln "$S/run/steps" "$S/run/end" && flush "$S" && return 0
  rm -f "$S/run/end"
  return 1
}
# The first run ever leaves nothing: what it found is put back, and what it made goes.
forget_first() {
  restore "$S/found" 2>"$d/err" || lines <"$d/err"
  forget
}

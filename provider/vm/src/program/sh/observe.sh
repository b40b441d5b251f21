
# Does: answers `observe` and `check`: what this machine and its proxy are. Only a provider that connects by SSH asks.
# Needs: changed checks emit hosts jumps owner proxyfiles reference rules undolog unit
# Gives: verb_check verb_observe
# Owns: nothing: it writes only its answer
# Undo: nothing to undo
verb_check() {
  run_checks
  emit 'report checked'
}
verb_observe() {
  emit_text owner "$(claimed_by)"
  observe_files
  list_changed | while IFS= read -r changed_text; do
    emit_text changed "$changed_text"
  done
  hosts_block | while IFS= read -r hosts_text; do
    emit "hosts $(printf %s "$hosts_text" | encode)"
  done
  if has_unit; then
    emit "unit $(systemctl is-active istio.service) $(systemctl is-enabled istio.service 2>/dev/null)"
  fi
  emit_identity
  if is_ready; then
    emit 'ready yes'
  fi
  list_jumps | sed 's/^/jump /'
  list_lost_jumps | sed 's/^/lost /'
  observe_unfinished
  emit 'report observed'
}
observe_files() {
  for observed_file in "$run_dir"/in/file.*.path; do
    [ -e "$observed_file" ] || continue
    emit "file $(encode <"$observed_file") $(observe_file "$(cat "$observed_file")")"
  done
}
# Prints what lies at PATH: `missing`, `odd` with the reason, or owner, mode and content.
# shellcheck disable=SC2016,SC2031 # the inner shell expands it; the subshell that has another bound is elsewhere
observe_file() {
  if [ ! -e "$1" ] && [ ! -h "$1" ]; then
    emit missing
  elif file_text=$(read_safely "$1" sh -c 'stat -L -c "%U %a" /proc/self/fd/0 && head -c "$1" | base64' sh "$MAX_FILE_BYTES"); then
    emit "$file_text" | {
      read -r file_access
      printf '%s ' "$file_access"
      tr -d '\n'
      emit ''
    }
  else
    emit "odd $(why_not_observed "$1" | encode)"
  fi
}
why_not_observed() {
  why_unreadable "$1" ||
    emit 'changes while it is read'
}
observe_unfinished() {
  if [ -d "$state_dir/run" ] && ! is_sealed; then
    unfinished_step=$(last_step)
    emit "unfinished ${unfinished_step:-keep}"
  elif [ -e "$state_dir/owner" ] && ! read_mark >/dev/null; then
    emit 'unfinished place'
  fi
}

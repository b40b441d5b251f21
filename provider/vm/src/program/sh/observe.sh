
# Does: answers `observe` and `check`: what this machine and its proxy are. Only a provider that connects by SSH asks.
# Needs: base changed checks emit hosts jumps owner proxyfiles reference rules undolog unit
# Gives: verb_check verb_observe
# Owns: nothing: it writes only its answer
# Undo: nothing to undo
verb_check() {
  run_checks
  send report checked
}
verb_observe() {
  send_text owner "$(claimed_by)"
  observe_files
  list_changed | while IFS= read -r changed_text; do
    send_text changed "$changed_text"
  done
  hosts_block | while IFS= read -r hosts_text; do
    send hosts "$(printf %s "$hosts_text" | encode)"
  done
  if has_unit; then
    send unit "$(systemctl is-active istio.service)" "$(systemctl is-enabled istio.service 2>/dev/null)"
  fi
  send_identity
  if is_ready; then
    send ready yes
  fi
  list_jumps | while read -r observed_jump; do
    send jump "$observed_jump"
  done
  list_lost_jumps | while read -r lost_jump; do
    send lost "$lost_jump"
  done
  observe_unfinished
  send report observed
}
observe_files() {
  for observed_file in "$run_dir"/in/file.*.path; do
    [ -e "$observed_file" ] || continue
    send file "$(encode <"$observed_file")" "$(observe_file "$(line_of "$observed_file")")"
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
    send unfinished "${unfinished_step:-keep}"
  elif [ -e "$state_dir/owner" ] && ! read_mark >/dev/null; then
    send unfinished place
  fi
}


# Does: checks whether a bootstrap can succeed, before it begins or on its own.
# Needs: authority base checkruntime closed emit network stage state sweep unit
# Gives: do_check run_checks judge emit_unknown journal_bad_checks
# Owns: checks in the run's directory
# Undo: nothing to undo: a check reads only
do_check() {
  run_checks >"$run_dir/checks"
  if grep -q ' bad ' "$run_dir/checks"; then
    journal_bad_checks hop
    return 1
  fi
}
run_checks() {
  check_tools
  judge systemd "$(cat /proc/1/comm 2>/dev/null)" [ -d /run/systemd/system ]
  check_state
  check_settings
  check_disk
  check_clock
  check_runtime
  if [ "$(field redirect)" = yes ]; then
    judge iptables "$(iptables_tools | tr '\n' ' ')" has_iptables
  fi
  check_ports
  check_address
  check_network
  check_authority
}
# judge NAME FOUND COMMAND…: emits `ok` or `bad`, as the command succeeds or fails.
judge() {
  judged_name=$1
  judged_found=$2
  shift 2
  if "$@"; then
    judged_verdict=ok
  else
    judged_verdict=bad
  fi
  send check "$judged_name" "$judged_verdict" "$(printf %s "$judged_found" | encode)"
}
# emit_unknown NAME WHY: a check that cannot be made says nothing about the VM.
emit_unknown() { send check "$1" unknown "$(printf %s "$2" | encode)"; }
check_tools() {
  missing_tools=$(
    for needed_tool in awk cmp cut flock grep sed setsid sha256sum ss stat tail timeout; do
      have "$needed_tool" || printf '%s ' "$needed_tool"
    done
  )
  judge tools "${missing_tools:+missing: }$missing_tools" [ -z "$missing_tools" ]
}
check_state() {
  found_problem=$(state_problem)
  judge state "$found_problem" [ -z "$found_problem" ]
}
check_settings() {
  settings_problem=$(settings_dir_problem)
  judge settings "$settings_problem" [ -z "$settings_problem" ]
}
# Prints why the agent could not use what is in the place of the package's link.
settings_dir_problem() {
  if [ "$(readlink "$ETC_DIR")" = /var/lib/istio ]; then
    return
  fi
  for settings_path in "$ETC_DIR" "$ETC_DIR/config" "$ETC_DIR/proxy"; do
    if [ ! -e "$settings_path" ] && [ ! -h "$settings_path" ]; then
      continue
    fi
    if [ ! -d "$settings_path" ]; then
      emit "$settings_path is no directory. Run: mv $settings_path $settings_path.old"
    elif [ "$settings_path" = "$ETC_DIR" ] && ! root_controls_path "$ETC_DIR"; then
      emit "others than root can replace $ETC_DIR. Run: mv $ETC_DIR $ETC_DIR.old"
    fi
  done
}
check_disk() {
  needed_mib=20
  if needs_package; then
    needed_mib=400
  fi
  free_mib=$(df -Pk /var/lib | awk 'NR == 2 { print int($4 / 1024) }')
  judge disk "${free_mib:-?} MiB free below /var/lib, $needed_mib needed" [ "${free_mib:-0}" -ge "$needed_mib" ]
}
# The time when the input came counts: a check may follow a long run.
check_clock() {
  clock_skew=$(($(stat -c %Y "$run_dir/in/now") - $(field now)))
  judge clock "$clock_skew seconds from the provider's clock" [ "${clock_skew#-}" -le 60 ]
}
has_iptables() {
  [ -n "$(iptables_tools)" ] &&
    have iptables
}
check_ports() {
  taken_ports=$(
    ss -Hltn |
      awk '{ sub(/.*:/, "", $4); print $4 }' |
      grep -xFe "$(field_lines ports)" |
      sort -u |
      tr '\n' ' '
  )
  judge ports "${taken_ports:+taken: }$taken_ports" are_ports_free
}
# The proxy itself may have them.
are_ports_free() {
  [ -z "$taken_ports" ] ||
    is_running
}
check_address() {
  has taken || return 0
  other_address=$(field_lines taken | list_own_addresses)
  judge address "${other_address:-none of another entry}" [ -z "$other_address" ]
}
# Of lines `address namespace/name`, prints those whose address an interface has.
list_own_addresses() {
  while read -r address_ip address_of; do
    if ip -o address | grep -qF " $address_ip/"; then
      printf '%s belongs to %s ' "$address_ip" "$address_of"
    fi
  done
}
# journal_bad_checks [hop]: what is bad, and what could not be checked. With `hop` the first bad one is the failing hop.
journal_bad_checks() {
  journaled_hop=${1:-}
  while read -r _ journaled_name journaled_verdict journaled_found; do
    case $journaled_verdict in
    bad)
      if [ "$journaled_hop" = hop ]; then
        journal hop "$journaled_name"
        journaled_hop=
      fi
      journal bad "$journaled_name" "$journaled_found"
      ;;
    unknown) journal unknown "$journaled_name" "$journaled_found" ;;
    esac
  done <"$run_dir/checks"
}


# Does: reads and writes this program's block of lines in the hosts file, and finds lines of others that resolvers prefer.
# Needs: closed emit flush
# Gives: hosts_block lines_before_block write_hosts_block list_others_lines list_preferred_lines
# Owns: the lines between `# BEGIN mesh-vm` and `# END mesh-vm` of the hosts file
# Undo: the callers write the block of before, where it was
# Prints the lines of the block.
hosts_block() {
  awk '
    /^# BEGIN mesh-vm$/ { n = 1; t = ""; next }
    /^# END mesh-vm$/ { if (n) printf "%s", t; n = 0 }
    { t = t $0 "\n" }' "$HOSTS_FILE"
}
# Prints how many lines of others the block has above it.
lines_before_block() {
  awk '
    /^# BEGIN mesh-vm$/ { n = NR }
    /^# END mesh-vm$/ && n { print n - 1; exit }' "$HOSTS_FILE"
}
# write_hosts_block FILE [LINES]: with these lines, or no block where there are none. It stands behind so many lines of
# others: none, because the first line that names a host counts; or `end`, which is where earlier versions put it.
write_hosts_block() {
  if is_block "$1" "${2:-0}"; then
    return 0
  fi
  if ! root_controls_path "$HOSTS_FILE"; then
    refuse "$HOSTS_FILE is a link that others than root can replace"
    return
  fi
  # A link stays one: a copy of it would be a link, too, and lead to the file that is read here.
  real_hosts=$(readlink -f "$HOSTS_FILE")
  # An incomplete copy never replaces the file.
  if [ ! -e "$1" ] || ! cp -a "$real_hosts" "$real_hosts.mesh" || ! hosts_with_block "$1" "${2:-0}" >"$real_hosts.mesh"; then
    rm -f "$real_hosts.mesh"
    return 1
  fi
  # No other copy of these lines is kept, so this one is on the disk before it replaces the file.
  flush "$real_hosts.mesh" || return 1
  replace_hosts "$real_hosts"
}
is_block() {
  hosts_block | cmp -s - "$1" || return 1
  if [ ! -s "$1" ] || [ "$2" = end ]; then
    return 0
  fi
  [ "$(lines_before_block)" = "$2" ]
}
# A bind mount cannot be renamed over.
replace_hosts() {
  if mv "$1.mesh" "$1" 2>/dev/null; then
    return 0
  fi
  cat "$1.mesh" >"$1" &&
    rm -f "$1.mesh"
}
# hosts_with_block FILE LINES: prints the hosts file with the block behind so many lines, or without one. Where somebody
# removed the end of a block, its lines are not this program's to remove: only the mark goes.
hosts_with_block() {
  awk -v block="$1" -v at="$2" -v ended="$(tail -c 1 "$HOSTS_FILE" | wc -l)" '
    function put() {
      printf "%s", text
      text = ""
    }
    BEGIN {
      while ((getline line <block) > 0) text = text line "\n"
      if (text != "") text = "# BEGIN mesh-vm\n" text "# END mesh-vm\n"
    }
    /^# BEGIN mesh-vm$/ { n = NR }
    { l[NR] = $0 }
    /^# END mesh-vm$/ && n {
      for (i = n; i <= NR; i++) delete l[i]
      n = 0
    }
    END {
      for (i = 1; i <= NR; i++) {
        if (!(i in l) || l[i] == "# BEGIN mesh-vm") continue
        if (at != "end" && printed++ == at) put()
        printf "%s%s", l[i], i == NR && text == "" && !ended ? "" : "\n"
      }
      put()
    }' "$HOSTS_FILE"
}
# list_others_lines NAMES: prints `NUMBER ADDRESS NAME` of each line of others for one of these names.
list_others_lines() {
  awk -v names="$1" '
    BEGIN { for (n = split(tolower(names), list, " "); n; n--) wanted[list[n]] = 1; n = 0 }
    /^# BEGIN mesh-vm$/ { n = NR }
    { l[NR] = $0 }
    /^# END mesh-vm$/ && n {
      for (i = n; i <= NR; i++) l[i] = ""
      n = 0
    }
    END {
      for (i = 1; i <= NR; i++) {
        sub(/[#\r].*/, "", l[i])
        words = split(tolower(l[i]), word, " ")
        for (w = 2; w <= words; w++) {
          sub(/[.]$/, "", word[w])
          if (word[w] in wanted) { print i, word[1], word[w]; break }
        }
      }
    }' "$HOSTS_FILE"
}
# list_preferred_lines ADDRESS NAMES: prints those of them that a resolver prefers to a line with the address that stands
# first.
list_preferred_lines() {
  list_others_lines "$2" | while read -r others_number others_address others_name; do
    if is_preferred "$others_address" "$1"; then
      emit "line $others_number of $HOSTS_FILE has the address $others_address for $others_name"
    fi
  done
}
# is_preferred ADDRESS FIRST: whether a resolver may prefer the address to the one that stands first. It sorts them (RFC
# 6724): by precedence, then those of this machine and of its link, and IPv6 by how near it is. IPv4 it leaves in order.
is_preferred() {
  [ "$(plain_address "$1")" != "$(plain_address "$2")" ] || return 1
  set -- "$1" "$(precedence_of "$1")" "$(precedence_of "$2")"
  [ "$2" -ge "$3" ] || return 1
  case $1 in
  127.* | 169.254.* | ::1 | fe80:*) ;;
  *:*) ip -o route get "$1" >/dev/null 2>&1 ;;
  *) [ "$2" -gt "$3" ] ;;
  esac
}
# plain_address ADDRESS: prints it the one way that all its notations have in common.
plain_address() {
  emit "$1" | awk '{
    text = tolower($0)
    zeros = ":"
    for (n = gsub(/[0-9a-f]+/, "&", text); n < 8; n++) zeros = zeros "0:"
    sub(/::/, zeros, text)
    sub(/^:/, "", text)
    sub(/:$/, "", text)
    text = ":" text
    gsub(/:0+/, ":", text)
    print text
  }'
}
precedence_of() {
  case $1 in
  ::1) emit 50 ;;
  [Ff][CcDd]??:*) emit 3 ;;
  *:*) emit 40 ;;
  *) emit 35 ;;
  esac
}

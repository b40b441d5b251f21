
# Does: reads and writes this program's block of lines in the hosts file.
# Needs: closed emit flush
# Gives: hosts_block write_hosts_block
# Owns: the lines between `# BEGIN mesh-vm` and `# END mesh-vm` of the hosts file
# Undo: the callers write the block of before
# Prints the lines of the block.
hosts_block() {
  awk '
    /^# BEGIN mesh-vm$/ { n = 1; t = ""; next }
    /^# END mesh-vm$/ { if (n) printf "%s", t; n = 0 }
    { t = t $0 "\n" }' "$HOSTS_FILE"
}
# write_hosts_block FILE: with these lines, or no block where there are none.
write_hosts_block() {
  if hosts_block | cmp -s - "$1"; then
    return 0
  fi
  if ! root_controls_path "$HOSTS_FILE"; then
    refuse "$HOSTS_FILE is a link that others than root can replace"
    return
  fi
  # A link stays one: a copy of it would be a link, too, and lead to the file that is read here.
  real_hosts=$(readlink -f "$HOSTS_FILE")
  # An incomplete copy never replaces the file.
  if ! cp -a "$real_hosts" "$real_hosts.mesh" || ! hosts_with_block "$1" >"$real_hosts.mesh"; then
    rm -f "$real_hosts.mesh"
    return 1
  fi
  # No other copy of these lines is kept, so this one is on the disk before it replaces the file.
  flush "$real_hosts.mesh" || return 1
  replace_hosts "$real_hosts"
}
# A bind mount cannot be renamed over.
replace_hosts() {
  if mv "$1.mesh" "$1" 2>/dev/null; then
    return 0
  fi
  cat "$1.mesh" >"$1" &&
    rm -f "$1.mesh"
}
# hosts_with_block FILE: prints the hosts file with these lines as the block, or without one.
hosts_with_block() {
  hosts_without_block || return 1
  if [ -s "$1" ]; then
    emit '# BEGIN mesh-vm' &&
      cat "$1" &&
      emit '# END mesh-vm'
  fi
}
# Where somebody removed the end of a block, its lines are not this program's to remove: only the mark goes.
hosts_without_block() {
  awk '
    /^# BEGIN mesh-vm$/ { n = NR }
    { l[NR] = $0 }
    /^# END mesh-vm$/ && n {
      for (i = n; i <= NR; i++) delete l[i]
      n = 0
    }
    END {
      for (i = 1; i <= NR; i++)
        if (i in l && l[i] != "# BEGIN mesh-vm") print l[i]
    }' "$HOSTS_FILE"
}


# Does: finds the ports that sshd serves.
# Needs: base emit
# Gives: sshd_ports
# Owns: sockets in the run's directory
# Undo: nothing to undo: it reads only
# Configured ones, sshd's sockets of systemd, what sshd listens on, and what sessions come by, for another server may start
# it. A port that a session listens on (`ssh -R`) is an application's.
sshd_ports() {
  {
    sshd -T 2>/dev/null | awk '$1 == "port" { print $2 }'
    systemctl show -p Listen ssh.socket sshd.socket 2>/dev/null | sed -n 's/.*:\([0-9]*\) (Stream).*/\1/p'
    list_sockets >"$run_dir/sockets"
    ports_of_sockets "$(list_sessions)" "$(ancestors_of "$(line_of "$run_dir/follower")")" <"$run_dir/sockets"
  } |
    grep -x '[0-9]*' |
    sort -un
}
# Prints TCP sockets as `STATE PORT PROCESS DESCRIPTOR`: those of sshd, and what others listen on, with 0 as their process.
list_sockets() {
  ss -Htanp | awk '
    {
      port = $4
      sub(/.*:/, "", port)
      if ($1 == "LISTEN") print $1, port, 0, 0
      n = split($0, holder, /\("/)
      for (i = 2; i <= n; i++)
        if (holder[i] ~ /^(sshd|dropbear)/ && match(holder[i], /pid=[0-9]+,fd=[0-9]+/)) {
          split(substr(holder[i], RSTART, RLENGTH), of, /[=,]/)
          print $1, port, of[2], of[4]
        }
    }'
}
# Prints the processes of these sockets that serve one session.
list_sessions() {
  cut -d ' ' -f 3 "$run_dir/sockets" |
    sort -u |
    while read -r session_pid; do
      if is_session "$session_pid"; then
        emit "$session_pid"
      fi
    done
}
# ports_of_sockets SESSIONS OURS: prints the ports of sshd. A connection that a session came by was there before all that is
# forwarded through it, so it has the lowest descriptor; and unless it is ours, something listens where it came in.
ports_of_sockets() {
  awk -v sessions="$(emit "$1" | tr '\n' ' ')" -v ours="$(emit "$2" | tr '\n' ' ')" "$AWK_RULES"'
    BEGIN { set(sessions, session); set(ours, own) }
    $1 == "LISTEN" && $3 in session { forwarded[$2] = 1 }
    $1 == "LISTEN" { listens[$2] = 1 }
    $1 == "LISTEN" && $3 && !($3 in session) { print $2 }
    $1 == "ESTAB" && $3 in session && (!($3 in port) || $4 + 0 < lowest[$3]) { lowest[$3] = $4 + 0; port[$3] = $2 }
    END { for (pid in port) if (!(port[pid] in forwarded) && (pid in own || port[pid] in listens)) print port[pid] }'
}
# Whether this process of sshd serves one session and no more.
is_session() {
  [ "$1" != 0 ] || return 1
  case $(tr '\0' ' ' 2>/dev/null <"$PROC_DIR/$1/cmdline") in
  *'[listener]'*) return 1 ;;
  'sshd: '* | sshd-session* | sshd-auth*) return 0 ;;
  esac
  case $(cat "$PROC_DIR/$(parent_of "$1")/comm" 2>/dev/null) in
  sshd* | dropbear*) return 0 ;;
  esac
  return 1
}
parent_of() { awk '$1 == "PPid:" { print $2 }' "$PROC_DIR/$1/status" 2>/dev/null; }
# Prints the process and all that it descends from.
ancestors_of() {
  ancestor_pid=$1
  while [ "${ancestor_pid:-0}" -gt 1 ]; do
    emit "$ancestor_pid"
    ancestor_pid=$(parent_of "$ancestor_pid")
  done
}

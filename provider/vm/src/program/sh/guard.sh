
# Rules of ours ahead of Istio's: what is connected stays connected, and sshd is never intercepted.
# A connection that the kernel does not know yet is redirected in its middle, and dies, unless
# only a SYN can be; sshd's own ports are never the proxy's.
guard() {
  ports=$(sshd_ports)
  {
    printf '%s\n' '*mangle' ':MESH_TRACK - [0:0]' '-A MESH_TRACK -m conntrack --ctstate NEW'
    if has tproxy; then
      say ':MESH_IN - [0:0]'
      for f in $ports; do say "-A MESH_IN -p tcp --dport $f -j ACCEPT"; done
    fi
    printf '%s\n' COMMIT '*nat' ':MESH_IN - [0:0]' \
      ':MESH_OUT - [0:0]' '-A MESH_IN -p tcp ! --syn -j ACCEPT' '-A MESH_OUT -p tcp ! --syn -j ACCEPT'
    for f in $ports; do
      say "-A MESH_IN -p tcp --dport $f -j ACCEPT"
      say "-A MESH_OUT -p tcp --sport $f -j ACCEPT"
    done
    say COMMIT
  } >"$S/guard" || return 1
  # Where an earlier version put it, it keeps packets to sshd from rules of others.
  sweep MESH_IN mangle || return 1
  timeout 60 sh -c "$(rules "iptables$backend")" || return 1
  timeout 60 sh -c "$(rules "ip6tables$backend")" 2>/dev/null
  grep -q 1 "$LOOSE" 2>/dev/null || { cat "$LOOSE" >"$S/loose" && say 1 >"$LOOSE"; } 2>/dev/null || :
}
# The commands that put the guard's rules in place, ahead of Istio's; fit for a unit file. What ends the walk through
# the table mangle is needed by tproxy alone, and stands behind the rules that others have there.
rules() {
  printf '%s' "{ $1-restore -w --noflush <$S/guard || $1-restore --noflush <$S/guard; }"
  jump "$1" mangle -I 'OUTPUT -j MESH_TRACK'
  if has tproxy; then jump "$1" mangle -A 'PREROUTING -j MESH_IN'; fi
  jump "$1" nat -I 'OUTPUT -j MESH_OUT'
  jump "$1" nat -I 'PREROUTING -j MESH_IN'
}
# jump TOOL TABLE -I|-A RULE
jump() { printf '%s' " && { $1 -w -t $2 -C $4 2>/dev/null || $1 -w -t $2 $3 $4; }"; }
# Ports that sshd serves: configured, its sockets of systemd, what it listens on, and what sessions come by, for another
# server may start it. A port that a session listens on (`ssh -R`) is an application's.
sshd_ports() {
  {
    sshd -T 2>/dev/null | awk '$1 == "port" { print $2 }'
    systemctl show -p Listen ssh.socket sshd.socket 2>/dev/null | sed -n 's/.*:\([0-9]*\) (Stream).*/\1/p'
    sockets >"$d/sockets"
    f=$(cut -d ' ' -f 3 "$d/sockets" | sort -u | while read -r pid; do ! serves_one "$pid" || say "$pid"; done)
    served "$f" "$(above "$(cat "$d/follower" 2>/dev/null)")" <"$d/sockets"
  } | grep -x '[0-9]*' | sort -un
}
# TCP sockets, as `STATE PORT PROCESS DESCRIPTOR`: those of sshd, and what others listen on, with 0 as their process.
sockets() {
  ss -Htanp | awk '{
      port = $4
      sub(/.*:/, "", port)
      if ($1 == "LISTEN") print $1, port, 0, 0
      n = split($0, holder, /\("/)
      for (i = 2; i <= n; i++) if (holder[i] ~ /^(sshd|dropbear)/ && match(holder[i], /pid=[0-9]+,fd=[0-9]+/)) {
        split(substr(holder[i], RSTART, RLENGTH), of, /[=,]/)
        print $1, port, of[2], of[4]
      }
    }'
}
# served SESSIONS OURS: of these sockets, the ports of sshd. A connection that a session came by was there before all that
# is forwarded through it, so it has the lowest descriptor; and unless it is ours, something listens where it came in.
served() {
  awk -v sessions="$(say "$1" | tr '\n' ' ')" -v ours="$(say "$2" | tr '\n' ' ')" "$AWK"'
    BEGIN { set(sessions, session); set(ours, own) }
    $1 == "LISTEN" && $3 in session { forwarded[$2] = 1 }
    $1 == "LISTEN" { listens[$2] = 1 }
    $1 == "LISTEN" && $3 && !($3 in session) { print $2 }
    $1 == "ESTAB" && $3 in session && (!($3 in port) || $4 + 0 < lowest[$3]) { lowest[$3] = $4 + 0; port[$3] = $2 }
    END { for (pid in port) if (!(port[pid] in forwarded) && (pid in own || port[pid] in listens)) print port[pid] }'
}
# Whether this process of sshd serves one session and no more.
serves_one() {
  [ "$1" != 0 ] || return 1
  case $(tr '\0' ' ' 2>/dev/null <"$PROC/$1/cmdline") in
  *'[listener]'*) return 1 ;;
  'sshd: '* | sshd-session* | sshd-auth*) return 0 ;;
  esac
  case $(cat "$PROC/$(parent "$1")/comm" 2>/dev/null) in sshd* | dropbear*) return 0 ;; esac
  return 1
}
parent() { awk '$1 == "PPid:" { print $2 }' "$PROC/$1/status" 2>/dev/null; }
# The process and all that it descends from.
above() {
  pid=$1
  while [ "${pid:-0}" -gt 1 ]; do
    say "$pid"
    pid=$(parent "$pid")
  done
}


# Packet filter rules: ours, the proxy's, and what of others matters to them.
# What tproxy adds to the routing at each start, and never takes away.
unroute() {
  for family in -4 -6; do
    # Without that rule the table is somebody else's.
    while ip "$family" rule del fwmark 0x539 lookup 133; do ip "$family" route flush table 133; done
  done 2>/dev/null
  :
}
tools() {
  for f in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do ! have "$f-save" || say "$f"; done
  have iptables-nft-save || have iptables-legacy-save ||
    for f in iptables ip6tables; do ! have "$f-save" || say "$f"; done
}
# Where traffic is led into a chain of Istio or of ours, as `BACKEND/TABLE/FROM/TO`, with a 6 in front for IPv6. A chain
# without rules does nothing; neither does one whose last jump, to the chain with the proxy's port, leads to none.
jumps() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v tool="$tool" -v names="$OURS $ISTIOS" "$AWK"'
      BEGIN {
        sub(/^iptables-?/, "", tool); sub(/^ip6tables-?/, "6", tool)
        set(names, known); set("PREROUTING INPUT FORWARD OUTPUT POSTROUTING", built_in)
        set("ISTIO_OUTPUT/ISTIO_REDIRECT ISTIO_INBOUND/ISTIO_IN_REDIRECT ISTIO_INBOUND/ISTIO_DIVERT ISTIO_INBOUND/ISTIO_TPROXY", last)
      }
      /^[*]/ { table = substr($1, 2); n = 0; split("", ruled); split("", useless) }
      /^-A / {
        ruled[$2] = 1
        chain = target($0)
        if (chain in known) { n++; from[n] = $2; to[n] = chain }
      }
      /^COMMIT/ {
        for (i = 1; i <= n; i++) if (((from[i] "/" to[i]) in last) && !(to[i] in ruled)) useless[from[i]] = 1
        for (i = 1; i <= n; i++) if ((from[i] in built_in) && (to[i] in ruled) && !(to[i] in useless)) print tool "/" table "/" from[i] "/" to[i]
      }'
  done | sort -u
}
# The same whichever backend holds them: an update of the machine may bring another.
families() { jumps | sed -e 's:^6[^/]*/:6/:' -e t -e 's:^[^/]*/:4/:' | sort -u; }
# Of the jumps that the last bootstrap left, those that are gone. Where no traffic is IPv6, none is missed there.
lost() {
  [ -e "$S/jumps" ] || return 0
  { families | sed 's/^/is /'; sed 's/^/was /' "$S/jumps"; } |
    awk '$1 == "is" { is[$2] = 1 } $1 == "was" && !($2 in is) { print $2 }' |
    if [ -n "$(global6)" ]; then cat; else grep -v ^6; fi
}
# Whether outbound traffic of this family, 4 or 6, is led to the proxy.
intercepts() { families | grep -qx "$1/nat/OUTPUT/ISTIO_OUTPUT"; }
# Whether what arrives is led to the proxy, too, and nothing is missing of what the last bootstrap left.
intact() { intercepts 4 && families | grep -qE '^4/(nat|mangle)/PREROUTING/ISTIO_INBOUND$' && [ -z "$(lost)" ]; }
global6() { ip -6 -o address show scope global 2>/dev/null | awk '{ sub("/.*", "", $4); print $4; exit }'; }
# A global IPv6 address, where Istio made its rules for IPv4 only: as it does if the machine's first address is of IPv4.
bypass() { [ "$(field redirect)" != yes ] || intercepts 6 || global6; }
# Ports whose traffic goes elsewhere before Istio's rules see it, as an engine takes that of a container's.
published() {
  [ "$(field redirect)" != yes ] || for f in $(tools | grep ^iptables); do "$f-save" -t nat 2>/dev/null; done |
    awk -v names="$OURS $ISTIOS" "$AWK"'
      BEGIN { set(names, known) }
      $1 == "-A" && !($2 in known) && target($0) == "DNAT" && !/ -d 127[.]/ && match($0, /--dport [0-9]+/) { print substr($0, RSTART + 8, RLENGTH - 8) }' |
    sort -nu | tr '\n' ' '
}
# sweep CHAINS [TABLE]: deletes these chains and the jumps to them, in each backend. A jump is deleted by the text that
# the tool prints, for quotes and double spaces of a comment are part of it.
sweep() {
  for tool in $(tools); do
    "$tool-save" 2>/dev/null | awk -v names="$1" -v only="${2:-}" "$AWK"'
      BEGIN { set(names, chains) }
      /^[*]/ { table = $1; jumps = flush = old = "" }
      /^:/ && substr($1, 2) in chains { chain = substr($1, 2); flush = flush "-F " chain "\n"; old = old "-X " chain "\n" }
      /^-A / && !($2 in chains) && target($0) in chains { sub(/^-A/, "-D"); jumps = jumps $0 "\n" }
      /^COMMIT/ { if (old != "" && (only == "" || table == "*" only)) printf "%s\n%s%s%sCOMMIT\n", table, jumps, flush, old }' >"$d/sweep"
    [ ! -s "$d/sweep" ] || restore_rules "$tool" "$d/sweep" || return 1
  done
}
# restore_rules TOOL FILE: others hold the lock for a moment, so it is waited for. Before version 1.6.2 nothing can wait.
restore_rules() { timeout 60 "$1-restore" -w --noflush <"$2" || "$1-restore" --noflush <"$2"; }
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

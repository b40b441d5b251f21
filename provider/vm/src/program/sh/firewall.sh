
# Does: finds rules of the machine's own packet filter that drop what pods send to the proxy. The machine's rules redirect
#   inbound traffic to a port of the proxy before these rules see it, so that port counts, and not the application's.
# Needs: base emit nftables sweep
# Gives: blocked_ports
# Owns: firewall in the run's directory
# Undo: nothing to undo: it reads only
# Prints `BASE CHAIN POLICY` of each chain that a packet for this machine enters, and each rule as
# `RULE CHAIN MATCH VERDICT TEXT`: whether it is for any new connection to a port, for some (`maybe`) or for none.
# shellcheck disable=SC2016 # awk's
AWK_INPUT_RULES='
  function among(list, wanted, word, n) {
    n = split(list, word, ",")
    while (n) if (word[n--] == wanted) return 1
    return 0
  }
  function in_ports(list, word, part, n) {
    n = split(list, word, ",")
    while (n) {
      if (split(word[n--], part, /[:-]/) < 2) part[2] = part[1]
      if (part[1] + 0 <= port && port <= part[2] + 0) return 1
    }
    return 0
  }
  function is_state(list) { return among(list, "NEW") || port == 15006 && among(list, "DNAT") }
  function narrow(is_hit) {
    if (is_hit == "maybe") {
      if (hit == "yes") hit = "maybe"
    } else if (is_hit ? negated : !negated) hit = "no"
    negated = 0
  }
  function verdict_of(target) {
    if (target == "ACCEPT") return "accept"
    if (target == "DROP" || target == "REJECT") return "drop"
    if (target == "RETURN") return "return"
    if (target ~ /^(LOG|NFLOG|ULOG|MARK|CONNMARK|CT|SET|TRACE|AUDIT)?$/) return "next"
    return (target in chains) ? "jump:" target : "accept"
  }
'
# What iptables-save prints, in that form. What a rule matches by and this does not know makes it a rule for some.
# shellcheck disable=SC2016 # awk's
AWK_IPTABLES='
  /^[*]/ { is_filter = $1 == "*filter" }
  !is_filter { next }
  /^:/ { chains[substr($1, 2)] = 1 }
  /^:INPUT / { print "BASE INPUT " ($2 == "DROP" ? "drop" : "accept") " :INPUT " $2 }
  /^-A / {
    text = $0
    gsub(/"([^"\\]|\\.)*"/, "x")
    hit = "yes"
    negated = 0
    verdict = "next"
    for (i = 3; i <= NF; i++) {
      if ($i == "!") negated = 1
      else if ($i == "-p") narrow(among("tcp,6,all", $(++i)))
      else if ($i == "--dport" || $i == "--dports") narrow(in_ports($(++i)))
      else if ($i == "--state" || $i == "--ctstate") narrow(is_state($(++i)))
      else if ($i == "--dst-type") narrow($(++i) == "LOCAL")
      else if ($i == "-i") narrow($(++i) == "lo" ? 0 : "maybe")
      else if ($i == "--syn") narrow(1)
      else if ($i == "--tcp-flags") { i += 2; narrow($i == "SYN" ? 1 : "maybe") }
      else if ($i == "--comment") i++
      else if ($i == "-m") { if (!among("tcp,conntrack,state,multiport,addrtype,comment", $(++i))) narrow("maybe") }
      else if ($i == "-j") { verdict = verdict_of($(++i)); break }
      else if ($i == "-g") { verdict = "goto:" $(++i); break }
      else if ($i ~ /^-/) narrow("maybe")
    }
    print "RULE " $2 " " hit " " verdict " " text
  }
'
# Follows a packet through these rules, and prints the one that drops it. Only what is for any packet counts.
# shellcheck disable=SC2016 # awk's
AWK_WALK='
  $1 == "BASE" {
    base[++bases] = $2
    policy[$2] = $3
    sub(/^BASE [^ ]+ [^ ]+ /, "")
    why[base[bases]] = $0
  }
  $1 == "RULE" {
    n = ++rules[$2]
    hit[$2, n] = $3
    verdict[$2, n] = $4
    chain = $2
    sub(/^RULE [^ ]+ [^ ]+ [^ ]+ /, "")
    text[chain, n] = $0
  }
  function walk(chain, depth, i, to, end) {
    for (i = 1; depth < 20 && i <= rules[chain]; i++) {
      to = verdict[chain, i]
      if (hit[chain, i] == "no" || to == "next") continue
      end = to
      if (to ~ /^(jump|goto):/) end = walk(substr(to, 6), depth + 1)
      if (end == "drop" && to == "drop" && hit[chain, i] == "yes") reason = text[chain, i]
      if (end == "accept" || (end == "drop" && hit[chain, i] == "yes")) return end
      if (to ~ /^goto:/ || to == "return") return hit[chain, i] == "yes" ? "return" : "accept"
    }
    return "return"
  }
  END {
    for (b = 1; b <= bases; b++) {
      end = walk(base[b], 0)
      if (end == "return" && policy[base[b]] == "drop") { end = "drop"; reason = why[base[b]] }
      if (end == "drop") { print reason; exit }
    }
  }
'
# Prints `PORT: RULE` for each port of the input, of lines `FAMILY PORT`, that a rule keeps every pod from.
blocked_ports() {
  field_lines inbound | while read -r blocked_family blocked_port; do
    blocked_rule=$(blocking_rule "$blocked_family" "$blocked_port")
    if [ -n "$blocked_rule" ]; then
      emit "$blocked_port: $blocked_rule"
    fi
  done
}
# blocking_rule FAMILY PORT: prints the first rule found.
blocking_rule() {
  for filter_tool in $(iptables_tools); do
    case $1$filter_tool in
    4iptables* | 6ip6tables*) walk_iptables "$filter_tool" "$2" ;;
    esac
  done >"$run_dir/firewall"
  if have nft; then
    walk_nftables "$1" "$2" >>"$run_dir/firewall"
  fi
  head -n 1 "$run_dir/firewall"
}
walk_iptables() { "$1-save" 2>/dev/null | input_rules "$2" "$AWK_IPTABLES" | awk "$AWK_WALK"; }
walk_nftables() { nft list ruleset 2>/dev/null | join_sets | input_rules "$2" "$AWK_NFTABLES" "$1" | awk "$AWK_WALK"; }
# input_rules PORT PROGRAM [FAMILY]
input_rules() { awk -v port="$1" -v family="${3:-}" "$AWK_INPUT_RULES$2"; }

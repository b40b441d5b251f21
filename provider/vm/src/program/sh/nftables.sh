
# Does: reads what `nft list ruleset` prints, for the walk through rules of firewall.sh.
# Needs: nothing
# Gives: join_sets
# Owns: nothing
# Undo: nothing to undo: it reads only
# Joins a rule whose set nft prints on several lines.
join_sets() {
  awk '
    !/^\t\t/ {
      print
      next
    }
    {
      bare = $0
      gsub(/"[^"]*"/, "", bare)
      open += gsub(/[{]/, "", bare)
      open -= gsub(/[}]/, "", bare)
      line = $0
      sub(/^[ \t]+/, "", line)
      text = text (text == "" ? "\t\t" : " ") line
    }
    open <= 0 {
      print text
      text = ""
      open = 0
    }'
}
# A rule is a list of words here. What this does not know makes it a rule for some packets.
# shellcheck disable=SC2016 # awk's
AWK_NFTABLES='
  function value(list) {
    if ($(i + 1) == "!=" || $(i + 1) == "==") { negated = $(i + 1) == "!="; i++ }
    if ($(++i) != "{") return $i
    for (i++; i <= NF && $i != "}"; i++) list = list $i
    return list
  }
  function port_value(list) {
    list = value()
    narrow(list ~ /^[0-9,-]+$/ ? in_ports(list) : "maybe")
  }
  function protocol(list) {
    if ($(i + 1) == "vmap") return
    list = value()
    narrow(list ~ /^[@.]/ ? "maybe" : among(list, "tcp") || among(list, "6"))
  }
  function tracking(list) {
    if ($(i + 1) == "state" && $(i + 2) == "vmap") { i += 2; return state_map(value()) }
    if ($(i + 1) == "state") { i++; return narrow(among(value(), "new")) }
    if ($(i + 1) != "status") return narrow("maybe")
    i++
    narrow(among(value(), "dnat") && port == 15006 ? 1 : "maybe")
  }
  function state_map(list) {
    verdict = "next"
    if (match(list, /(^|,)new:[a-z]+/)) verdict = (list ~ /(^|,)new:accept/) ? "accept" : (list ~ /(^|,)new:drop/) ? "drop" : "accept"
    i = NF
  }
  function interface() { narrow(value() == "lo" ? 0 : "maybe") }
  /^# Warning: table / { is_of_iptables = 1 }
  /^table / {
    table = $2 "/" $3
    is_ours = !is_of_iptables && ($2 == "inet" || (family == 6 ? $2 == "ip6" : $2 == "ip"))
    is_of_iptables = 0
  }
  !is_ours { next }
  /^\tchain / { chain = table "/" $2; next }
  /^\t(set|map|flowtable|counter|quota|ct) / { chain = ""; next }
  /^\t?[}]/ || chain == "" { next }
  $1 == "type" {
    if (/^\t\ttype filter hook input /) print "BASE " chain " " (/policy drop;/ ? "drop" : "accept") " " chain ": policy drop"
    next
  }
  {
    text = $0
    sub(/^\t+ */, "", text)
    gsub(/"lo"/, "lo")
    gsub(/"[^"]*"/, "x")
    hit = "yes"
    negated = 0
    verdict = "next"
    for (i = 1; i <= NF; i++) {
      if ($i ~ /^(tcp|th)$/ && $(i + 1) == "dport") { i++; port_value() }
      else if ($i ~ /^(udp|icmp|icmpv6|sctp|dccp|igmp|esp|ah)$/) { hit = "no"; i++ }
      else if ($i == "meta" && $(i + 1) == "l4proto" || $i == "ip" && $(i + 1) == "protocol" || $i == "ip6" && $(i + 1) == "nexthdr") { i++; protocol() }
      else if ($i == "ct") tracking()
      else if ($i == "iif" || $i == "iifname") interface()
      else if ($i == "counter") { if ($(i + 1) == "packets") i += 4 }
      else if ($i == "log") { while ($(i + 1) ~ /^(prefix|level|flags|group|snaplen|queue-threshold)$/) i += 2 }
      else if ($i == "comment") break
      else if ($i ~ /^(accept|drop|return)$/) { verdict = $i; break }
      else if ($i == "reject") { verdict = "drop"; break }
      else if ($i == "continue") break
      else if ($i == "jump" || $i == "goto") { verdict = $i ":" table "/" $(i + 1); break }
      else if ($i ~ /^(queue|vmap|xt|dnat|redirect|synproxy|tproxy)$/) { verdict = "accept"; hit = "maybe"; break }
      else narrow("maybe")
    }
    print "RULE " chain " " hit " " verdict " " text
  }
'

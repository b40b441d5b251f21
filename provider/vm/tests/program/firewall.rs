//! The machine's own packet filter, which may keep pods from the proxy.

use std::fs;

use crate::stage::{SHELLS, Stage, script};

/// Returns what keeps pods from the proxy, by these rules.
fn blocked(stage: &Stage, inbound: &str, iptables: &str, nft: &str) -> String {
    fs::create_dir_all(stage.path("in")).unwrap();
    fs::write(stage.path("in/inbound"), inbound).unwrap();
    fs::write(stage.path("saved"), iptables).unwrap();
    fs::write(stage.path("ruleset"), nft).unwrap();
    for tool in ["iptables-nft-save", "ip6tables-nft-save"] {
        let own = if tool.starts_with("ip6") {
            "true"
        } else {
            "cat"
        };
        script(
            &stage.path(tool),
            &format!("{own} {}", stage.path("saved").display()),
        );
    }
    script(
        &stage.path("nft"),
        &format!("cat {}", stage.path("ruleset").display()),
    );
    stage.part(
        "PATH=$run_dir:$PATH; iptables_tools() { emit iptables-nft; emit ip6tables-nft; }; blocked_ports",
    )
}

/// A filter table with these rules behind what every firewall begins with.
fn filter(policy: &str, rules: &str) -> String {
    format!(
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DROP\nCOMMIT\n*filter\n:INPUT {policy} [0:0]\n:FORWARD DROP [0:0]\n:apps - [0:0]\n\
         -A INPUT -i lo -j ACCEPT\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A INPUT -m conntrack --ctstate INVALID -j DROP\n-A INPUT -p udp -j ACCEPT\n{rules}COMMIT\n"
    )
}

#[test]
fn a_rule_that_keeps_every_pod_from_the_proxy_is_found() {
    let app = "-A INPUT -p tcp -m tcp --dport 9080 -j ACCEPT\n";
    let cases = [
        ("ACCEPT", String::new(), ""),
        ("ACCEPT", app.into(), ""),
        ("DROP", app.into(), "15006: :INPUT DROP"),
        (
            "ACCEPT",
            format!("{app}-A INPUT -m comment --comment \"all -j ACCEPT\" -j REJECT --reject-with icmp-port-unreachable\n"),
            "15006: -A INPUT -m comment --comment \"all -j ACCEPT\" -j REJECT --reject-with icmp-port-unreachable",
        ),
        (
            "ACCEPT",
            "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m multiport --dports 8000,15000:15100 -j DROP\n".into(),
            "15006: -A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m multiport --dports 8000,15000:15100 -j DROP",
        ),
        // A chain of others; what returns goes on behind the jump.
        (
            "DROP",
            "-A INPUT -p tcp -j apps\n-A apps -p tcp -m tcp --dport 9080 -j ACCEPT\n-A apps -j LOG\n-A apps -j RETURN\n".into(),
            "15006: :INPUT DROP",
        ),
        (
            "ACCEPT",
            "-A INPUT -g apps\n-A apps ! -p tcp -j ACCEPT\n-A apps -p tcp -m tcp ! --dport 22 -j DROP\n".into(),
            "15006: -A apps -p tcp -m tcp ! --dport 22 -j DROP",
        ),
        // What lets some packets through may be for pods.
        ("DROP", "-A INPUT -s 10.0.0.0/8 -j ACCEPT\n".into(), ""),
        ("DROP", "-A INPUT -p tcp -m tcp --dport 15006 -j ACCEPT\n".into(), ""),
        ("DROP", "-A INPUT -i eth0 -j apps\n-A apps -j ACCEPT\n".into(), ""),
        ("DROP", "-A INPUT -m conntrack --ctstate NEW,DNAT -j ACCEPT\n".into(), ""),
        ("DROP", "-A INPUT -m socket -j NFQUEUE\n".into(), ""),
        ("ACCEPT", "-A INPUT -s 192.0.2.1/32 -j DROP\n".into(), ""),
        ("ACCEPT", "-A INPUT -m limit --limit 5/sec -j RETURN\n-A INPUT -j DROP\n".into(), ""),
    ];
    for shell in SHELLS {
        let stage = Stage::new(shell);
        for (policy, rules, expected) in &cases {
            let found = blocked(&stage, "4 15006\n", &filter(policy, rules), "");
            assert_eq!(found.trim_end(), *expected, "{shell}: {rules}");
        }
        // Pods that connect by IPv6 do not meet these rules, and other ports have rules of their own.
        let closed = filter("DROP", "-A INPUT -p tcp -m tcp --dport 15006 -j ACCEPT\n");
        assert_eq!(blocked(&stage, "6 15006\n6 15008\n", &closed, ""), "");
        let found = blocked(&stage, "4 15006\n4 15008\n", &closed, "");
        assert_eq!(found, "15008: :INPUT DROP\n", "{shell}");
        assert_eq!(blocked(&stage, "", &closed, ""), "", "{shell}");
    }
}

/// A ruleset of nft with these rules.
fn ruleset(policy: &str, rules: &str) -> String {
    format!(
        "table inet filter {{\n\tset open {{\n\t\ttype inet_service\n\t\telements = {{ 22,\n\t\t\t     80 }}\n\t}}\n\n\tchain apps {{\n\t\ttcp dport 9080 accept\n\t}}\n\n\
         \tchain input {{\n\t\ttype filter hook input priority filter; policy {policy};\n\t\tct state {{ established, related }} accept\n\
         \t\tct state invalid counter packets 0 bytes 0 drop\n\t\tiifname \"lo\" accept\n\t\tip protocol icmp accept\n\t\tmeta l4proto ipv6-icmp accept\n\t\tudp dport 53 accept\n{rules}\t}}\n\n\
         \tchain output {{\n\t\ttype filter hook output priority filter; policy drop;\n\t}}\n}}\n"
    )
}

#[test]
fn a_rule_of_nftables_that_keeps_every_pod_from_the_proxy_is_found() {
    let cases = [
        ("accept", "", ""),
        ("drop", "", "15006: inet/filter/input: policy drop"),
        (
            "drop",
            "\t\tjump apps\n",
            "15006: inet/filter/input: policy drop",
        ),
        (
            "accept",
            "\t\ttcp dport { 22, 80,\n\t\t\t    9080 } accept\n\t\tlog prefix \"no: \" level info\n\t\tcounter packets 1 bytes 2 reject with icmpx admin-prohibited comment \"the rest\"\n",
            "15006: counter packets 1 bytes 2 reject with icmpx admin-prohibited comment \"the rest\"",
        ),
        (
            "accept",
            "\t\ttcp dport != 22 drop\n",
            "15006: tcp dport != 22 drop",
        ),
        // As of firewalld, which lets through what the proxy's rules redirected.
        ("drop", "\t\tct status dnat accept\n", ""),
        ("drop", "\t\ttcp dport 15000-15100 accept\n", ""),
        ("drop", "\t\ttcp dport @open accept\n", ""),
        ("drop", "\t\tip saddr 10.0.0.0/8 accept\n", ""),
        (
            "drop",
            "\t\tct state vmap { established : accept, new : accept }\n",
            "",
        ),
        (
            "drop",
            "\t\tiifname != \"lo\" jump apps\n\t\ttcp dport vmap { 22 : accept }\n",
            "",
        ),
        (
            "drop",
            "\t\tmeta l4proto . th dport { tcp . 15006 } accept\n",
            "",
        ),
        (
            "drop",
            "\t\tmeta l4proto vmap { icmp : accept, tcp : jump apps }\n",
            "",
        ),
        ("accept", "\t\tip saddr @bad drop\n", ""),
        ("accept", "\t\ttcp dport { 23, 25 } drop\n", ""),
    ];
    for shell in SHELLS {
        let stage = Stage::new(shell);
        for (policy, rules, expected) in cases {
            let found = blocked(&stage, "4 15006\n", "", &ruleset(policy, rules));
            assert_eq!(found.trim_end(), expected, "{shell}: {rules}");
        }
        // iptables prints this table itself.
        let theirs = ruleset("drop", "").replace("inet", "ip");
        let warned = format!(
            "# Warning: table ip filter is managed by iptables-nft, do not touch!\n{theirs}"
        );
        assert_eq!(blocked(&stage, "4 15006\n", "", &warned), "", "{shell}");
        assert_ne!(blocked(&stage, "4 15006\n", "", &theirs), "", "{shell}");
        assert_eq!(blocked(&stage, "6 15006\n", "", &theirs), "", "{shell}");
    }
}

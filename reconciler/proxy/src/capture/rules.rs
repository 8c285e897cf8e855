//! The rules, as the two tools read them. Pure: the same capture is the same text.

use super::{Capture, Cidr};

/// The table, and the beginning of the chains' names.
pub(super) const TABLE: &str = "taut";

/// Names are resolved without the proxy, over TCP as well.
const DNS: u16 = 53;

/// One transaction of nft: what was there before is gone, and the new rules stand.
pub(super) fn nft(capture: &Capture) -> String {
    let mut text = nft_gone();
    text.push_str(&format!("table inet {TABLE} {{\n"));
    if let Some(port) = capture.inbound_port {
        text.push_str("\tchain inbound {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n");
        text.push_str("\t\tiifname \"lo\" return\n");
        // What is only on its way through this machine is nobody's here.
        text.push_str("\t\tfib daddr type != local return\n");
        text.push_str(&ports("tcp dport", &capture.exclude_inbound_ports));
        text.push_str(&format!("\t\tmeta l4proto tcp redirect to :{port}\n\t}}\n"));
    }
    if let Some(port) = capture.outbound_port {
        text.push_str("\tchain outbound {\n\t\ttype nat hook output priority -100; policy accept;\n");
        text.push_str("\t\toifname \"lo\" return\n");
        text.push_str(&format!("\t\tmeta skgid {} return\n", capture.proxy_gid));
        for uid in &capture.exclude_uids {
            text.push_str(&format!("\t\tmeta skuid {uid} return\n"));
        }
        text.push_str(&format!("\t\ttcp dport {DNS} return\n"));
        text.push_str(&ports("tcp dport", &capture.exclude_outbound_ports));
        for (family, v4) in [("ip", true), ("ip6", false)] {
            let blocks: Vec<String> = of_family(capture, v4).map(ToString::to_string).collect();
            for block in blocks {
                text.push_str(&format!("\t\t{family} daddr {block} return\n"));
            }
        }
        text.push_str(&format!("\t\tmeta l4proto tcp redirect to :{port}\n\t}}\n"));
    }
    text + "}\n"
}

/// The transaction that leaves nothing, whatever was there: a table is made so that it can be taken away.
pub(super) fn nft_gone() -> String {
    format!("table inet {TABLE} {{\n}}\ndelete table inet {TABLE}\n")
}

fn ports(what: &str, list: &[u16]) -> String {
    list.iter().map(|port| format!("\t\t{what} {port} return\n")).collect()
}

fn of_family(capture: &Capture, v4: bool) -> impl Iterator<Item = &Cidr> {
    capture.exclude_outbound_cidrs.iter().filter(move |block| block.address.is_ipv4() == v4)
}

/// The chains of `iptables`, and where each is entered from.
const CHAINS: [(&str, &str); 2] = [("TAUT_INBOUND", "PREROUTING"), ("TAUT_OUTBOUND", "OUTPUT")];

/// What `iptables-restore --noflush` reads, or `ip6tables-restore` for the other family: one transaction each. `before`
/// is what `iptables-save -t nat` says, so that rules of before are replaced and nobody else's touched.
pub(super) fn iptables(capture: &Capture, v4: bool, before: &str) -> String {
    let mut text = String::from("*nat\n");
    for (chain, from) in CHAINS {
        text.push_str(&left(chain, from, before));
        text.push_str(&format!(":{chain} - [0:0]\n"));
    }
    let mut rule = |chain: &str, rest: &str| text.push_str(&format!("-A {chain} {rest}\n"));
    if let Some(port) = capture.inbound_port {
        rule("TAUT_INBOUND", "-i lo -j RETURN");
        rule("TAUT_INBOUND", "-m addrtype ! --dst-type LOCAL -j RETURN");
        for excluded in &capture.exclude_inbound_ports {
            rule("TAUT_INBOUND", &format!("-p tcp --dport {excluded} -j RETURN"));
        }
        rule("TAUT_INBOUND", &format!("-p tcp -j REDIRECT --to-ports {port}"));
        rule("PREROUTING", "-p tcp -j TAUT_INBOUND");
    }
    if let Some(port) = capture.outbound_port {
        rule("TAUT_OUTBOUND", "-o lo -j RETURN");
        rule("TAUT_OUTBOUND", &format!("-m owner --gid-owner {} -j RETURN", capture.proxy_gid));
        for uid in &capture.exclude_uids {
            rule("TAUT_OUTBOUND", &format!("-m owner --uid-owner {uid} -j RETURN"));
        }
        for excluded in std::iter::once(&DNS).chain(&capture.exclude_outbound_ports) {
            rule("TAUT_OUTBOUND", &format!("-p tcp --dport {excluded} -j RETURN"));
        }
        for block in of_family(capture, v4) {
            rule("TAUT_OUTBOUND", &format!("-d {block} -j RETURN"));
        }
        rule("TAUT_OUTBOUND", &format!("-p tcp -j REDIRECT --to-ports {port}"));
        rule("OUTPUT", "-p tcp -j TAUT_OUTBOUND");
    }
    text + "COMMIT\n"
}

/// The same, that leaves nothing; none if there is nothing.
pub(super) fn iptables_gone(before: &str) -> Option<String> {
    let there: Vec<_> = CHAINS.into_iter().filter(|(chain, _)| before.contains(&format!(":{chain} "))).collect();
    if there.is_empty() {
        return None;
    }
    let mut text = String::from("*nat\n");
    for (chain, from) in there {
        text.push_str(&left(chain, from, before));
        text.push_str(&format!("-F {chain}\n-X {chain}\n"));
    }
    Some(text + "COMMIT\n")
}

/// Takes away each way into a chain.
fn left(chain: &str, from: &str, before: &str) -> String {
    let entry = format!("-A {from} -p tcp -j {chain}");
    before.lines().filter(|line| line.trim() == entry).map(|_| format!("-D {from} -p tcp -j {chain}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture() -> Capture {
        Capture {
            outbound_port: Some(15001),
            inbound_port: Some(15006),
            proxy_gid: 1337,
            exclude_uids: vec![],
            exclude_inbound_ports: vec![],
            exclude_outbound_ports: vec![],
            exclude_outbound_cidrs: vec![],
        }
    }

    fn with_all() -> Capture {
        Capture {
            exclude_uids: vec![7],
            exclude_inbound_ports: vec![22],
            exclude_outbound_ports: vec![25, 465],
            exclude_outbound_cidrs: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            ..capture()
        }
    }

    #[test]
    fn one_transaction_replaces_what_was_there() {
        let want = "table inet taut {
}
delete table inet taut
table inet taut {
	chain inbound {
		type nat hook prerouting priority dstnat; policy accept;
		iifname \"lo\" return
		fib daddr type != local return
		tcp dport 22 return
		meta l4proto tcp redirect to :15006
	}
	chain outbound {
		type nat hook output priority -100; policy accept;
		oifname \"lo\" return
		meta skgid 1337 return
		meta skuid 7 return
		tcp dport 53 return
		tcp dport 25 return
		tcp dport 465 return
		ip daddr 10.0.0.0/8 return
		ip6 daddr fd00::/8 return
		meta l4proto tcp redirect to :15001
	}
}
";
        assert_eq!(nft(&with_all()), want);
        let one_way = nft(&Capture { inbound_port: None, ..capture() });
        assert!(!one_way.contains("chain inbound") && one_way.contains("chain outbound"));
        let other_way = nft(&Capture { outbound_port: None, ..capture() });
        assert!(other_way.contains("chain inbound") && !other_way.contains("chain outbound"));
    }

    #[test]
    fn the_older_tool_is_told_the_same() {
        let want = "*nat
:TAUT_INBOUND - [0:0]
:TAUT_OUTBOUND - [0:0]
-A TAUT_INBOUND -i lo -j RETURN
-A TAUT_INBOUND -m addrtype ! --dst-type LOCAL -j RETURN
-A TAUT_INBOUND -p tcp --dport 22 -j RETURN
-A TAUT_INBOUND -p tcp -j REDIRECT --to-ports 15006
-A PREROUTING -p tcp -j TAUT_INBOUND
-A TAUT_OUTBOUND -o lo -j RETURN
-A TAUT_OUTBOUND -m owner --gid-owner 1337 -j RETURN
-A TAUT_OUTBOUND -m owner --uid-owner 7 -j RETURN
-A TAUT_OUTBOUND -p tcp --dport 53 -j RETURN
-A TAUT_OUTBOUND -p tcp --dport 25 -j RETURN
-A TAUT_OUTBOUND -p tcp --dport 465 -j RETURN
-A TAUT_OUTBOUND -d 10.0.0.0/8 -j RETURN
-A TAUT_OUTBOUND -p tcp -j REDIRECT --to-ports 15001
-A OUTPUT -p tcp -j TAUT_OUTBOUND
COMMIT
";
        assert_eq!(iptables(&with_all(), true, ""), want);
        assert!(iptables(&with_all(), false, "").contains("-d fd00::/8 -j RETURN"));
    }

    #[test]
    fn rules_of_before_are_replaced_and_those_of_others_stay() {
        let before = "*nat\n:PREROUTING ACCEPT [0:0]\n:OTHER - [0:0]\n:TAUT_INBOUND - [0:0]\n:TAUT_OUTBOUND - [0:0]\n-A PREROUTING -p tcp -j OTHER\n-A PREROUTING -p tcp -j TAUT_INBOUND\n-A OUTPUT -p tcp -j TAUT_OUTBOUND\nCOMMIT\n";
        let again = iptables(&capture(), true, before);
        let gone = iptables_gone(before).unwrap();
        for text in [&again, &gone] {
            assert_eq!(text.matches("-D PREROUTING -p tcp -j TAUT_INBOUND").count(), 1, "{text}");
            assert_eq!(text.matches("-D OUTPUT -p tcp -j TAUT_OUTBOUND").count(), 1, "{text}");
            assert!(!text.contains("OTHER"), "{text}");
        }
        assert!(gone.contains("-F TAUT_INBOUND\n-X TAUT_INBOUND") && !gone.contains("-A "), "{gone}");
        assert_eq!(iptables_gone("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"), None);
    }

    #[test]
    fn blocks_of_addresses_are_read_and_nothing_else_is() {
        for (text, want) in
            [("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("::1", "::1/128"), ("fd00::/8", "fd00::/8")]
        {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), want);
        }
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/8; drop", "host", "10.0.0.0/-1"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}

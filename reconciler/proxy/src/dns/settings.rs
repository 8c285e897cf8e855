//! What this machine says of names: `resolv.conf` and `hosts`, as resolv.conf(5) and hosts(5) have them.
//!
//! May not: read files. Lines that are not understood are passed over, as the system's own resolver does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// Where name servers listen.
const PORT: u16 = 53;

/// More name servers are not asked (resolv.conf(5): `MAXNS`).
const SERVERS_MAX: usize = 3;

/// More domains are not searched; glibc has no limit, so this one is far above what clusters write.
const SEARCH_MAX: usize = 32;

/// How names are looked up on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) servers: Vec<SocketAddr>,
    search: Vec<Box<str>>,
    /// A name with as many dots is asked for as it stands first.
    ndots: usize,
    /// How long one server has.
    pub(super) patience: Duration,
    /// How often all servers are asked.
    pub(super) attempts: usize,
    /// Whether the servers take turns at being the first.
    pub(super) rotate: bool,
    /// Whether it is asked over TCP alone.
    pub(super) tcp: bool,
}

impl Settings {
    /// Reads `resolv.conf`. `scope` is the number of a network interface, for servers at its own addresses.
    pub(super) fn read(text: &str, scope: impl Fn(&str) -> Option<u32>) -> Settings {
        let mut settings = Settings {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            // Not the five seconds of resolv.conf(5): a snapshot waits for three, and the second server is to be heard then.
            patience: Duration::from_secs(2),
            attempts: 2,
            rotate: false,
            tcp: false,
        };
        for line in text.lines() {
            let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
            let key = words.next().unwrap_or_default();
            match key {
                "nameserver" => settings.servers.extend(words.next().and_then(|word| server(word, &scope))),
                // The last line counts, whichever of the two it is.
                "domain" | "search" => {
                    let most = if key == "domain" { 1 } else { SEARCH_MAX };
                    let domains = words.map(|word| word.trim_end_matches('.')).filter(|word| !word.is_empty());
                    settings.search = domains.take(most).map(Box::from).collect();
                }
                "options" => words.for_each(|word| settings.option(word)),
                _ => {}
            }
        }
        settings.servers.truncate(SERVERS_MAX);
        if settings.servers.is_empty() {
            settings.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        settings
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        match (name, value.parse::<u8>()) {
            // The most of each is resolv.conf(5)'s.
            ("ndots", Ok(dots)) => self.ndots = usize::from(dots.min(15)),
            ("timeout", Ok(seconds)) => self.patience = Duration::from_secs(u64::from(seconds.clamp(1, 30))),
            ("attempts", Ok(times)) => self.attempts = usize::from(times.clamp(1, 5)),
            ("rotate", _) => self.rotate = true,
            ("use-vc", _) => self.tcp = true,
            _ => {}
        }
    }

    /// The names that a host may stand for, in the order in which they are asked for.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        if let Some(whole) = host.strip_suffix('.') {
            return vec![whole.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{host}.{domain}"));
        let itself = || std::iter::once(host.to_owned());
        match self.ndots <= host.matches('.').count() {
            true => itself().chain(searched).collect(),
            false => searched.chain(itself()).collect(),
        }
    }
}

fn server(word: &str, scope: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    match word.split_once('%') {
        None => Some(SocketAddr::new(word.parse().ok()?, PORT)),
        Some((address, interface)) => {
            let number = interface.parse().ok().or_else(|| scope(interface))?;
            Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, number).into())
        }
    }
}

/// The addresses that `hosts` has for a name. `localhost` has its own on every machine (RFC 6761 §6.3).
pub(super) fn listed(hosts: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let mut all = Vec::new();
    for line in hosts.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        if words.any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host)) {
            all.push(address);
        }
    }
    if all.is_empty() && (host == "localhost" || host.ends_with(".localhost")) {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Settings {
        Settings::read(text, |name| (name == "eth7").then_some(7))
    }

    #[test]
    fn servers_and_options_are_read_as_the_manual_says() {
        let none = read("");
        assert_eq!(none.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!((none.ndots, none.attempts, none.rotate, none.tcp), (1, 2, false, false));
        let some = read(
            "# a comment\n; another\nnameserver 10.0.0.10\nnameserver\tfe80::1%eth7\nnameserver fe80::1%nope\n\
             nameserver what\nnameserver ::1\nnameserver 10.0.0.13\n\
             options ndots:99 timeout:1 attempts:3 rotate use-vc edns0 timeout:x\n",
        );
        let servers = ["10.0.0.10:53", "[fe80::1%7]:53", "[::1]:53"].map(|text| text.parse().unwrap());
        assert_eq!(some.servers, servers);
        assert_eq!((some.ndots, some.attempts, some.rotate, some.tcp), (15, 3, true, true));
        assert_eq!(some.patience, Duration::from_secs(1));
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn domains_are_searched_before_or_after_the_name_itself() {
        let cluster = "search shop.svc.cluster.local svc.cluster.local\noptions ndots:5";
        for (conf, host, wanted) in [
            (cluster,                       "orders",        &["orders.shop.svc.cluster.local", "orders.svc.cluster.local", "orders"][..]),
            (cluster,                       "api.example.",  &["api.example"]),
            (cluster,                       "a.b.c.d.e.f",   &["a.b.c.d.e.f", "a.b.c.d.e.f.shop.svc.cluster.local", "a.b.c.d.e.f.svc.cluster.local"]),
            ("search a.\nsearch b",         "x.y",           &["x.y", "x.y.b"]), // the last line counts
            ("search a b\ndomain c d",      "x",             &["x.c", "x"]),
            ("search b\noptions ndots:0",   "x",             &["x", "x.b"]),
            ("",                            "x",             &["x"]),
        ] {
            assert_eq!(read(conf).candidates(host), wanted, "{conf} {host}");
        }
    }

    #[test]
    fn the_file_of_hosts_is_read_by_line() {
        let hosts =
            "127.0.0.1 localhost\n10.0.0.1 a.test A.alias # b.test\n# 10.0.0.2 a.test\nfd00::1\ta.test.\nbad a.test\n";
        for (host, wanted) in [
            ("a.test", &["10.0.0.1", "fd00::1"][..]),
            ("a.alias", &["10.0.0.1"]),
            ("b.test", &[]),
            ("localhost", &["127.0.0.1"]),
            ("x.localhost", &["127.0.0.1", "::1"]),
        ] {
            let wanted: Vec<IpAddr> = wanted.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(listed(hosts, host), wanted, "{host}");
        }
    }
}

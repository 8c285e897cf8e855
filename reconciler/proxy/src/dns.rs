//! Names of machines, and their addresses.
//!
//! Owns: what is known of each name, for how long, and when it is asked for again. Not the system's resolver, which tells
//! nobody how long an answer is good for; its files are heeded (`/etc/hosts`, and `/etc/resolv.conf` with `search`, `ndots`,
//! `timeout`, `attempts`, `rotate` and `use-vc`).
//! Invariant: the last good answer stays until there is a better one, whichever snapshots come and go meanwhile. A name server
//! that is away takes nobody down.

mod ask;
mod message;
mod settings;

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taut_snapshot::Text;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use self::ask::ask;
use self::message::{Family, Said};
use self::settings::{Settings, listed};
use crate::config::Refresh;

/// How long one look-up may take, whatever `resolv.conf` says.
const LOOKUP_MAX: Duration = Duration::from_secs(10);

/// How many names are asked for at a time: each takes two sockets, and the others come in turn.
const LOOKUPS_MAX: usize = 64;

/// Answers that are good for less are asked for again after it, lest a name server be asked all the time.
const GOOD_MIN: Duration = Duration::from_secs(1);

/// Answers that are good for longer are asked for again after it: a slip of the pen there is not to last for months.
const GOOD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The names that somebody follows.
pub(crate) struct Dns {
    /// The name servers, instead of those of `resolv.conf`.
    servers: Vec<SocketAddr>,
    refresh: Refresh,
    names: Mutex<BTreeMap<Text, Arc<Name>>>,
    looking_up: Semaphore,
}

/// One name, for as long as somebody holds it.
pub(crate) struct Name {
    host: Text,
    known: tokio::sync::Mutex<Known>,
}

/// What is known of a name, and when it is asked for again.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    /// None before it was asked for.
    due: Option<Instant>,
    /// Since the last answer with an address.
    failures: u32,
}

/// What a look-up brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Looked {
    /// None if nobody could say.
    v4: Option<Vec<IpAddr>>,
    v6: Option<Vec<IpAddr>>,
    /// How long it is good for; none, or nothing at all, if that is not said.
    good: Option<Duration>,
    /// Why there is nothing.
    why: String,
}

impl Looked {
    fn is_empty(&self) -> bool {
        [&self.v4, &self.v6].into_iter().flatten().all(Vec::is_empty)
    }

    fn of(addresses: Vec<IpAddr>, good: Option<Duration>) -> Looked {
        let (v4, v6) = addresses.into_iter().partition(IpAddr::is_ipv4);
        Looked { v4: Some(v4), v6: Some(v6), good, why: String::new() }
    }
}

impl Known {
    /// Takes what a look-up brought. A family that nobody could tell of stays as it was; so does everything where no address
    /// was found at all, since then more is wrong than the address.
    fn take(&mut self, now: Instant, looked: Looked, refresh: Refresh) {
        if looked.is_empty() {
            let wait = refresh.names.saturating_mul(1 << self.failures.min(16));
            self.failures += 1;
            self.due = Some(now + wait.min(refresh.names_after_failure_max));
            return;
        }
        self.failures = 0;
        let wait = match looked.good {
            None | Some(Duration::ZERO) => refresh.names,
            Some(good) => good.clamp(GOOD_MIN, GOOD_MAX),
        };
        self.due = Some(now + wait);
        self.v4 = looked.v4.unwrap_or(std::mem::take(&mut self.v4));
        self.v6 = looked.v6.unwrap_or(std::mem::take(&mut self.v6));
    }
}

impl Dns {
    /// Of these name servers; of those in `resolv.conf` if there are none.
    pub(crate) fn new(servers: Vec<SocketAddr>, refresh: Refresh) -> Dns {
        Dns { servers, refresh, names: Mutex::default(), looking_up: Semaphore::new(LOOKUPS_MAX) }
    }

    /// A name, to be followed.
    pub(crate) fn name(&self, host: &Text) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(host) {
            return name.clone();
        }
        // Looked through whenever their number is a power of two: seldom, where there are many.
        if names.len().is_power_of_two() {
            names.retain(|_, name| 1 < Arc::strong_count(name));
        }
        let name = Arc::new(Name { host: host.clone(), known: tokio::sync::Mutex::default() });
        names.insert(host.clone(), name.clone());
        name
    }

    /// The addresses of a name, and when to ask again. Whoever comes while it is asked for waits for the same answer.
    pub(crate) async fn addresses(&self, name: &Name) -> (Vec<IpAddr>, Instant) {
        let mut known = name.known.lock().await;
        let due = match known.due {
            Some(due) if Instant::now() < due => due,
            _ => {
                let looked = self.look_up(&name.host).await;
                if looked.is_empty() {
                    tracing::warn!(name = %name.host, why = %looked.why, "a name cannot be looked up; its last answer stays");
                }
                let now = Instant::now();
                known.take(now, looked, self.refresh);
                known.due.unwrap_or(now)
            }
        };
        ([known.v4.as_slice(), &known.v6].concat(), due)
    }

    async fn look_up(&self, host: &str) -> Looked {
        if let Ok(address) = host.parse() {
            return Looked::of(vec![address], Some(GOOD_MAX));
        }
        // Small files, which the system keeps in memory; a missing one is an empty one.
        let in_hosts = listed(&read_to_string("/etc/hosts").unwrap_or_default(), host);
        if !in_hosts.is_empty() {
            return Looked::of(in_hosts, None);
        }
        let scope =
            |interface: &str| read_to_string(format!("/sys/class/net/{interface}/ifindex")).ok()?.trim().parse().ok();
        let mut settings = Settings::read(&read_to_string("/etc/resolv.conf").unwrap_or_default(), scope);
        if !self.servers.is_empty() {
            settings.servers.clone_from(&self.servers);
        }
        let Ok(_turn) = self.looking_up.acquire().await else { return Looked::default() };
        let looked = timeout(LOOKUP_MAX, searched(&settings, host)).await;
        looked.unwrap_or_else(|_| Looked { why: "it takes too long".to_owned(), ..Looked::default() })
    }
}

/// The addresses of the first name that a host may stand for and that has any. A failure ends the search: what would have been
/// said is not known, and the next name might be another's.
async fn searched(settings: &Settings, host: &str) -> Looked {
    let mut why = String::new();
    for name in settings.candidates(host) {
        let (v4, v6) = tokio::join!(ask(settings, &name, Family::V4), ask(settings, &name, Family::V6));
        let looked = both(v4, v6);
        if !looked.is_empty() || looked.v4.is_none() || looked.v6.is_none() {
            return looked;
        }
        why = looked.why;
    }
    Looked { why, ..Looked::default() }
}

/// What both families come to: as long as the shorter of the two is good.
fn both(v4: Result<Said, String>, v6: Result<Said, String>) -> Looked {
    let mut looked = Looked { why: "it has no address".to_owned(), ..Looked::default() };
    for (said, family) in [(v4, Family::V4), (v6, Family::V6)] {
        let mut none_of = None;
        let addresses = match said {
            Ok(Said::Addresses(addresses, good)) => {
                if !addresses.is_empty() {
                    looked.good = Some(looked.good.map_or(good, |other| other.min(good)));
                }
                Some(addresses)
            }
            Ok(Said::NoName) => {
                none_of = Some("there is no such name".to_owned());
                Some(Vec::new())
            }
            Ok(Said::More) => None,
            Ok(Said::Failed(why)) | Err(why) => {
                none_of = Some(why);
                None
            }
        };
        looked.why = none_of.unwrap_or(looked.why);
        match family {
            Family::V4 => looked.v4 = addresses,
            Family::V6 => looked.v6 = addresses,
        }
    }
    looked
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Refresh = Refresh { names: Duration::from_secs(5), ..Refresh::USUAL };

    fn ips(all: &[&str]) -> Vec<IpAddr> {
        all.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn good(addresses: &[&str], seconds: u64) -> Result<Said, String> {
        Ok(Said::Addresses(ips(addresses), Duration::from_secs(seconds)))
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn an_answer_is_good_for_as_long_as_it_says_and_stays_while_nobody_can_say() {
        let failed = || Err("broken".to_owned());
        let none = || Ok(Said::NoName);
        // What A and AAAA bring, the addresses known then, and the seconds until it is asked for again.
        let table = [
            (failed(),              failed(),             &[][..],                5), // nothing is known yet
            (good(&["1.1.1.1"], 30), good(&["::1"], 20),  &["1.1.1.1", "::1"],   20), // the shorter of the two
            (good(&["1.1.1.2"], 30), failed(),            &["1.1.1.2", "::1"],   30), // what one family was stays
            (failed(),              failed(),             &["1.1.1.2", "::1"],    5),
            (none(),                none(),               &["1.1.1.2", "::1"],   10),
            (good(&[], 9),          good(&[], 9),         &["1.1.1.2", "::1"],   20),
            (failed(),              good(&[], 9),         &["1.1.1.2", "::1"],   40),
            (failed(),              failed(),             &["1.1.1.2", "::1"],   60), // and never longer
            (failed(),              failed(),             &["1.1.1.2", "::1"],   60),
            (good(&["1.1.1.3"], 7), good(&[], 1),         &["1.1.1.3"],           7), // none has no time
            (failed(),              failed(),             &["1.1.1.3"],           5), // counted anew
            (good(&["1.1.1.3"], 0), good(&[], 0),         &["1.1.1.3"],           5), // not to be kept: the usual pace
            (good(&[], 9),          good(&["::2"], 1 << 30), &["::2"],       86_400),
        ];
        let (mut known, mut now) = (Known::default(), Instant::now());
        for (row, (v4, v6, addresses, wait)) in table.into_iter().enumerate() {
            known.take(now, both(v4, v6), PACE);
            assert_eq!([known.v4.as_slice(), &known.v6].concat(), ips(addresses), "row {row}");
            assert_eq!(known.due.unwrap() - now, Duration::from_secs(wait), "row {row}");
            now = known.due.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_follows_a_name_has_what_others_know_of_it_until_it_is_due() {
        let dns = Dns::new(Vec::new(), PACE);
        let (one, other) = (dns.name(&"a.test".into()), dns.name(&"a.test".into()));
        assert!(Arc::ptr_eq(&one, &other));
        let looked = Looked::of(ips(&["1.1.1.1"]), Some(Duration::from_secs(30)));
        one.known.lock().await.take(Instant::now(), looked, PACE);
        let due = Instant::now() + Duration::from_secs(30);
        tokio::time::advance(Duration::from_millis(29_999)).await;
        assert_eq!(dns.addresses(&other).await, (ips(&["1.1.1.1"]), due), "nobody is asked");
        drop((one, other));
        let others: Vec<Arc<Name>> = (0..4).map(|number| dns.name(&format!("{number}.test").into())).collect();
        assert_eq!(dns.names.lock().unwrap().len(), others.len(), "nobody follows the first any more");
    }
}

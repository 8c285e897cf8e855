//! Which endpoints are near (semantics.md §4.6): asked when endpoints come, never for a request.

use crate::Text;
use crate::object::Locality;

/// Where a client or an endpoint is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// `region/zone/subzone`; empty if nobody says.
    pub locality: Text,
    /// Its labels, by name.
    pub labels: Vec<(Text, Text)>,
}

/// Where an endpoint stands for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearness {
    /// On this level: it gets what the levels before cannot take.
    Level(u32),
    /// Among those that share a weight, by the number of their locality in the list.
    Share(usize),
    /// It gets nothing.
    Left,
}

impl Nearness {
    /// In which order groups stand: by level, and by the number of a share. None for those that get nothing.
    #[must_use]
    pub fn order(self) -> Option<(u32, usize)> {
        match self {
            Nearness::Level(level) => Some((level, 0)),
            Nearness::Share(number) => Some((0, number)),
            Nearness::Left => None,
        }
    }
}

/// What is equal in labels that say where something is, and in the locality itself.
const PARTS: &[(&str, usize)] = &[
    ("topology.kubernetes.io/region", 0),
    ("failure-domain.beta.kubernetes.io/region", 0),
    ("topology.kubernetes.io/zone", 1),
    ("failure-domain.beta.kubernetes.io/zone", 1),
    ("topology.istio.io/subzone", 2),
];

impl Whereabouts {
    fn part(&self, number: usize) -> &str {
        self.locality.split('/').nth(number).unwrap_or_default()
    }

    fn label(&self, name: &str) -> &str {
        match self.labels.iter().find(|(known, _)| known == name) {
            Some((_, value)) => value,
            None => PARTS.iter().find(|(known, _)| *known == name).map_or("", |(_, number)| self.part(*number)),
        }
    }

    /// Whether a pattern covers it: each part that the pattern has is equal, or a star.
    fn is_in(&self, pattern: &str) -> bool {
        pattern.split('/').enumerate().all(|(number, part)| part.is_empty() || part == "*" || part == self.part(number))
    }
}

impl Locality {
    /// The shares that the traffic of a client has, in the order of their numbers; none if levels count instead.
    #[must_use]
    pub fn shares(&self, client: &Whereabouts) -> Option<&[(Text, u32)]> {
        let found = self.distribute.iter().find(|it| !client.locality.is_empty() && client.is_in(&it.from));
        found.map(|it| it.to.as_slice())
    }

    /// Where an endpoint stands for a client.
    #[must_use]
    pub fn nearness(&self, client: &Whereabouts, endpoint: &Whereabouts) -> Nearness {
        if let Some(shares) = self.shares(client) {
            let here = shares.iter().position(|(pattern, _)| endpoint.is_in(pattern));
            return here.map_or(Nearness::Left, Nearness::Share);
        }
        if !self.distribute.is_empty() {
            return Nearness::Level(0);
        }
        Nearness::Level(if self.labels.is_empty() {
            self.by_place(client, endpoint)
        } else {
            self.by_labels(client, endpoint)
        })
    }

    fn by_labels(&self, client: &Whereabouts, endpoint: &Whereabouts) -> u32 {
        let equal = |wanted: &&Text| match wanted.split_once('=') {
            Some((name, value)) => endpoint.label(name) == value,
            None => endpoint.label(wanted) == client.label(wanted),
        };
        let leading = self.labels.iter().take_while(equal).count();
        u32::try_from(self.labels.len() - leading).unwrap_or(u32::MAX)
    }

    fn by_place(&self, client: &Whereabouts, endpoint: &Whereabouts) -> u32 {
        if client.locality.is_empty() {
            return 0;
        }
        let same = |number: usize| client.part(number) == endpoint.part(number);
        if same(0) {
            return if same(1) && same(2) { 0 } else { 2 - u32::from(same(1)) };
        }
        match self.failover.iter().find(|(from, _)| from == client.part(0)) {
            Some((_, to)) if to != endpoint.part(0) => 4,
            _ => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Distribution;

    fn at(locality: &str) -> Whereabouts {
        Whereabouts { locality: locality.into(), labels: vec![] }
    }

    fn nothing() -> Locality {
        Locality { distribute: vec![], failover: vec![], labels: vec![] }
    }

    #[test]
    fn the_nearer_the_earlier() {
        let client = at("eu/a/1");
        let plain = nothing();
        let with_failover = Locality { failover: vec![("eu".into(), "us".into())], ..nothing() };
        for (endpoint, want, want_failover) in
            [("eu/a/1", 0, 0), ("eu/a/2", 1, 1), ("eu/b/1", 2, 2), ("us/a/1", 3, 3), ("asia/a/1", 3, 4), ("", 3, 4)]
        {
            assert_eq!(plain.nearness(&client, &at(endpoint)), Nearness::Level(want), "{endpoint}");
            assert_eq!(with_failover.nearness(&client, &at(endpoint)), Nearness::Level(want_failover), "{endpoint}");
            assert_eq!(plain.nearness(&at(""), &at(endpoint)), Nearness::Level(0), "who knows not where it is");
        }
    }

    #[test]
    fn labels_count_until_the_first_that_differs() {
        let labels = ["topology.kubernetes.io/region", "version=v2", "team"].map(Text::from).to_vec();
        let policy = Locality { labels, ..nothing() };
        let with = |locality: &str, labels: &[(&str, &str)]| Whereabouts {
            locality: locality.into(),
            labels: labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        };
        let client = with("eu/a/1", &[("team", "x"), ("version", "v1")]);
        for (endpoint, want) in [
            (with("eu/b/1", &[("version", "v2"), ("team", "x")]), 0),
            (with("eu/b/1", &[("version", "v2")]), 1),
            (with("eu/b/1", &[("version", "v1"), ("team", "x")]), 2),
            (with("us/a/1", &[("version", "v2"), ("team", "x")]), 3),
        ] {
            assert_eq!(policy.nearness(&client, &endpoint), Nearness::Level(want), "{endpoint:?}");
        }
    }

    #[test]
    fn shares_are_those_of_the_first_that_covers_the_client() {
        let to = |to: &[(&str, u32)]| to.iter().map(|(place, share)| ((*place).into(), *share)).collect();
        let distribute = vec![
            Distribution { from: "eu/a/*".into(), to: to(&[("eu/a/*", 80), ("us", 20)]) },
            Distribution { from: "eu".into(), to: to(&[("eu/*", 100)]) },
        ];
        let policy = Locality { distribute, ..nothing() };
        for (client, endpoint, want) in [
            ("eu/a/1", "eu/a/9", Nearness::Share(0)),
            ("eu/a/1", "us/x/1", Nearness::Share(1)),
            ("eu/a/1", "eu/b/1", Nearness::Left),
            ("eu/b/1", "eu/a/1", Nearness::Share(0)),
            ("asia/a/1", "eu/a/1", Nearness::Level(0)),
        ] {
            assert_eq!(policy.nearness(&at(client), &at(endpoint)), want, "{client} {endpoint}");
        }
    }
}

//! Which endpoints each member is told of.
//!
//! Owns: how declared and registered endpoints become one world for each snapshot, which of them concern a member, and
//! how long a member that is silent keeps its place.
//! May not: make anybody's world smaller because the reconciler itself has lost sight of the fleet: registered places
//! outlive its restarts in the ledger, and silence counts only while most of the fleet is heard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use taut_delivery::{MemberKind, Part};
use taut_snapshot::object::{EndpointSource, View};
use taut_snapshot::{Endpoint, EndpointSet, Owner, Text};

/// A member that answers somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    pub name: String,
    pub kind: MemberKind,
    pub peer: String,
    /// As it said.
    pub endpoint: Endpoint,
    /// Whether it has stopped, and only its last requests may still be under way.
    pub left: bool,
}

/// All endpoints, as a release sees them: those that it declares, and those of members whose workloads it has. By id.
pub(crate) type Places = BTreeMap<Text, Endpoint>;

/// The endpoints of a release, given what it declares, and the parts in it of the members that answer somewhere.
pub(crate) fn places(declared: &EndpointSet, members: &[(&Registered, Arc<Part>)]) -> Places {
    let registered = members.iter().filter_map(|(member, part)| Some(place(member, part.view.as_ref()?)));
    // Of two with one id, the declared one counts: a member cannot hide it by taking its name.
    let all = registered.chain(declared.endpoints.iter().cloned());
    all.map(|endpoint| (endpoint.id.clone(), endpoint)).collect()
}

/// A member's endpoint. Where it answers, it says itself; who it is and what it is one of is what git and its
/// certificate say.
fn place(member: &Registered, view: &View) -> Endpoint {
    Endpoint {
        id: Text::new(&member.name),
        owner: Owner::Workload(view.namespace.clone()),
        labels: view.labels.clone(),
        identity: Text::new(&member.peer),
        draining: member.endpoint.draining || member.left,
        ..member.endpoint.clone()
    }
}

/// Which endpoints the clusters of a part consist of.
#[derive(Debug, Default)]
pub(crate) struct Sources<'s> {
    by_owner: BTreeMap<Owner, Vec<&'s EndpointSource>>,
}

impl<'s> Sources<'s> {
    /// Those of a part.
    pub(crate) fn new(sources: &'s [EndpointSource]) -> Sources<'s> {
        let mut by_owner: BTreeMap<Owner, Vec<&EndpointSource>> = BTreeMap::new();
        for source in sources {
            let owner = match source {
                EndpointSource::Workloads(select) => Owner::Workload(select.namespace.clone()),
                EndpointSource::Declared(select) => Owner::Service(select.host.clone()),
                // The member looks these up itself, or needs none.
                EndpointSource::Dns(_) | EndpointSource::Original | EndpointSource::OriginalAt(_) => continue,
            };
            by_owner.entry(owner).or_default().push(source);
        }
        Sources { by_owner }
    }

    fn have(&self, endpoint: &Endpoint) -> bool {
        let owned = self.by_owner.get(&endpoint.owner);
        owned.is_some_and(|sources| sources.iter().any(|source| source.dial(endpoint).is_some()))
    }
}

/// What one member is told of: the endpoints of what it runs, and those that what it makes ready for needs beside them.
/// What it runs does not change by what may never be activated: an endpoint that is new to one of its present clusters
/// comes when it runs the new snapshot.
pub(crate) fn concern(now: Option<(&Places, &Sources<'_>)>, next: Option<(&Places, &Sources<'_>)>) -> Vec<Endpoint> {
    let of = |side: Option<(&Places, &Sources<'_>)>| -> Places {
        let all = side.into_iter().flat_map(|(places, sources)| places.values().filter(|place| sources.have(place)));
        all.map(|place| (place.id.clone(), place.clone())).collect()
    };
    let mut told = of(now);
    for (id, endpoint) in of(next) {
        match told.get_mut(&id) {
            // The same process under other labels: with both, the clusters of either snapshot find it.
            Some(known) => {
                known.labels.extend(endpoint.labels);
                known.labels.sort();
                known.labels.dedup();
            }
            None if now.is_some_and(|(_, sources)| sources.have(&endpoint)) => (),
            None => {
                told.insert(id, endpoint);
            }
        }
    }
    told.into_values().collect()
}

/// Whether at least half of the fleet is heard, and since when.
///
/// A reconciler that hears nobody has probably lost its own network: then nobody's place expires. When the fleet comes
/// back, everybody has the whole grace again before the first one is missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hearing {
    since: Option<Duration>,
}

impl Hearing {
    /// Takes note of how many are heard, and how many are not though they have not left.
    pub(crate) fn note(&mut self, now: Duration, heard: usize, silent: usize) {
        self.since = if silent <= heard { self.since.or(Some(now)) } else { None };
    }

    /// Whether a member that has been silent since then has lost its place.
    pub(crate) fn is_over(&self, now: Duration, silent_since: Duration, grace: Duration) -> bool {
        self.since.is_some_and(|hearing| hearing.max(silent_since) + grace <= now)
    }
}

#[cfg(test)]
mod tests {
    use taut_delivery::simulation::{endpoint, mesh};
    use taut_snapshot::object::{ServiceSelector, TargetPort, WorkloadSelector};

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn proxy(workload: &str) -> MemberKind {
        MemberKind::Proxy { workload: workload.to_owned() }
    }

    fn part(workloads: &[&str], workload: &str) -> Arc<Part> {
        Arc::new(Part::of(&mesh(workloads, 1), &proxy(workload)).unwrap())
    }

    fn set(endpoints: Vec<Endpoint>) -> EndpointSet {
        EndpointSet { endpoints }
    }

    fn registered(name: &str, workload: &str) -> Registered {
        let (namespace, app) = workload.split_once('/').unwrap();
        let peer = format!("spiffe://cluster.local/ns/{namespace}/sa/{app}");
        // It lies about everything that it can lie about.
        let endpoint = Endpoint { identity: "spiffe://evil".into(), ..endpoint("other", "bank", "payments", 7) };
        Registered { name: name.to_owned(), kind: proxy(workload), peer, endpoint, left: false }
    }

    fn declared(id: &str, host: &str) -> Endpoint {
        Endpoint { owner: Owner::Service(host.into()), labels: vec![], ..endpoint(id, "shop", "x", 9) }
    }

    fn ids(endpoints: &[Endpoint]) -> Vec<&str> {
        endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect()
    }

    #[test]
    fn who_a_member_is_is_what_git_and_its_certificate_say() {
        let cart = registered("cart-1", "shop/cart");
        let places = places(&set(vec![]), &[(&cart, part(&["shop/cart", "bank/payments"], "shop/cart"))]);
        assert_eq!(places.into_values().collect::<Vec<_>>(), [endpoint("cart-1", "shop", "cart", 7)]);
    }

    #[test]
    fn a_member_is_told_only_of_what_its_clusters_can_use() {
        let part = |workload| part(&["shop/cart", "shop/orders"], workload);
        let (cart, orders) = (registered("cart-1", "shop/cart"), registered("orders-1", "shop/orders"));
        let members = [(&cart, part("shop/cart")), (&orders, part("shop/orders"))];
        let places = places(&set(vec![declared("db-1", "db.example")]), &members);
        let part = part("shop/cart");
        let sources = Sources::new(&part.sources);
        assert_eq!(
            ids(&concern(Some((&places, &sources)), None)),
            ["cart-1", "orders-1"],
            "nothing leads to the database"
        );
        let none = Sources::default();
        assert_eq!(ids(&concern(Some((&places, &none)), None)), Vec::<&str>::new());
    }

    #[test]
    fn new_clusters_find_their_endpoints_before_they_are_activated() {
        let db = |host: &str| {
            let port = TargetPort::Number(8080);
            EndpointSource::Declared(ServiceSelector { host: host.into(), labels: vec![], port })
        };
        let (old, new) = ([db("db.example")], [db("db.example"), db("new.example")]);
        let (old, new) = (Sources::new(&old), Sources::new(&new));
        let before: Places = [declared("db-1", "db.example")].map(|it| (it.id.clone(), it)).into();
        let after: Places =
            [declared("db-1", "db.example"), declared("db-2", "db.example"), declared("new-1", "new.example")]
                .map(|it| (it.id.clone(), it))
                .into();
        let told = concern(Some((&before, &old)), Some((&after, &new)));
        assert_eq!(ids(&told), ["db-1", "new-1"], "db-2 is new to a cluster that runs already");
        assert_eq!(ids(&concern(Some((&after, &new)), None)), ["db-1", "db-2", "new-1"], "and comes with the snapshot");
        let back = concern(Some((&after, &new)), Some((&before, &old)));
        assert_eq!(ids(&back), ["db-1", "db-2", "new-1"], "what runs loses nothing before it is replaced");
    }

    #[test]
    fn a_process_under_two_sets_of_labels_is_one_endpoint() {
        let label = |value: &str| vec![("version".into(), Text::new(value))];
        let at = |value| Endpoint { labels: label(value), ..endpoint("cart-1", "shop", "cart", 1) };
        let select = |value| {
            let select =
                WorkloadSelector { namespace: "shop".into(), labels: label(value), port: TargetPort::Number(8080) };
            [EndpointSource::Workloads(select)]
        };
        let (old, new) = (select("v1"), select("v2"));
        let before: Places = [at("v1")].map(|it| (it.id.clone(), it)).into();
        let after: Places = [at("v2")].map(|it| (it.id.clone(), it)).into();
        let told = concern(Some((&before, &Sources::new(&old))), Some((&after, &Sources::new(&new))));
        assert_eq!(told.len(), 1);
        assert!(old[0].dial(&told[0]).is_some() && new[0].dial(&told[0]).is_some());
    }

    #[test]
    fn a_declared_endpoint_cannot_be_hidden_by_a_members_name() {
        let liar = registered("db-1", "shop/cart");
        let places = places(&set(vec![declared("db-1", "db.example")]), &[(&liar, part(&["shop/cart"], "shop/cart"))]);
        assert_eq!(places["db-1"].owner, Owner::Service("db.example".into()));
    }

    #[test]
    fn nobody_loses_its_place_while_the_reconciler_hears_few() {
        let grace = seconds(30);
        let mut hearing = Hearing::default();
        assert!(!hearing.is_over(seconds(100), seconds(0), grace), "just started: nobody was heard yet");
        hearing.note(seconds(100), 1, 2);
        assert!(!hearing.is_over(seconds(200), seconds(0), grace), "most of them are silent");
        hearing.note(seconds(200), 2, 2);
        hearing.note(seconds(229), 3, 1);
        assert!(!hearing.is_over(seconds(229), seconds(0), grace), "the last one may be on its way");
        assert!(hearing.is_over(seconds(230), seconds(0), grace));
        assert!(!hearing.is_over(seconds(230), seconds(201), grace), "silent for less than the grace");
        hearing.note(seconds(231), 1, 3);
        hearing.note(seconds(240), 4, 1);
        assert!(!hearing.is_over(seconds(250), seconds(0), grace), "it begins anew");
    }
}

//! Numbers for what appears in labels.
//!
//! Owns: which workload, service and principal each number stands for.
//! Invariant: a number never changes its meaning, so that requests carry numbers, and only a scrape looks at texts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use taut_snapshot::Text;

use super::said::Said;

/// The most names of one kind. Peers choose what they call themselves: beyond this, they are `unknown`.
const NAMES_MAX: usize = 65_536;

/// A number in [`Names`]. 0 is whatever is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NameId(u32);

impl NameId {
    /// What is not known.
    pub(crate) const UNKNOWN: NameId = NameId(0);
}

/// Values and their numbers. Asked when a connection or a snapshot is made, never for a request.
pub(crate) struct Names<T> {
    known: Mutex<Known<T>>,
}

struct Known<T> {
    numbers: BTreeMap<Arc<T>, NameId>,
    values: Vec<Arc<T>>,
}

impl<T: Ord + Default> Default for Names<T> {
    fn default() -> Names<T> {
        let unknown = Arc::new(T::default());
        let numbers = BTreeMap::from([(unknown.clone(), NameId::UNKNOWN)]);
        Names { known: Mutex::new(Known { numbers, values: vec![unknown] }) }
    }
}

impl<T: Ord> Names<T> {
    /// The number of a value.
    pub(crate) fn number(&self, value: T) -> NameId {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.numbers.get(&value) {
            return *number;
        }
        let count = known.values.len();
        let Some(number) = u32::try_from(count).ok().filter(|_| count < NAMES_MAX).map(NameId) else {
            return NameId::UNKNOWN;
        };
        let value = Arc::new(value);
        known.values.push(value.clone());
        known.numbers.insert(value, number);
        number
    }

    /// The value of a number.
    pub(crate) fn value(&self, number: NameId) -> Arc<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let value = known.values.get(number.0 as usize);
        value.unwrap_or(&known.values[0]).clone()
    }
}

/// A workload, as labels name it (semantics.md §12.3). What is empty is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Workload {
    pub(crate) name: Text,
    pub(crate) namespace: Text,
    pub(crate) app: Text,
    pub(crate) version: Text,
    pub(crate) canonical_service: Text,
    pub(crate) canonical_revision: Text,
    pub(crate) cluster: Text,
}

impl Workload {
    /// The name that collectors know it by (Istio's `APP_LABEL_AND_NAMESPACE`).
    pub(crate) fn service(&self) -> String {
        format!("{}.{}", self.canonical_service, self.namespace)
    }

    /// A workload with these labels (semantics.md §12.3, 'canonical service').
    pub(crate) fn new(namespace: &Text, name: &Text, labels: &[(Text, Text)]) -> Workload {
        let label = |wanted: &str| labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        let (app, version) = (label("app"), label("version"));
        let canonical_service = label("service.istio.io/canonical-name")
            .or_else(|| label("app.kubernetes.io/name"))
            .or_else(|| app.clone())
            .unwrap_or_else(|| name.clone());
        let canonical_revision = label("service.istio.io/canonical-revision")
            .or_else(|| label("app.kubernetes.io/version"))
            .or_else(|| version.clone())
            .unwrap_or_else(|| "latest".into());
        Workload {
            name: name.clone(),
            namespace: namespace.clone(),
            app: app.unwrap_or_default(),
            version: version.unwrap_or_default(),
            canonical_service,
            canonical_revision,
            cluster: Text::default(),
        }
    }
}

/// A service, as labels name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServiceName {
    pub(crate) host: Text,
    pub(crate) name: Text,
    pub(crate) namespace: Text,
}

impl ServiceName {
    /// The service with this host. One of Kubernetes is called by its name within its namespace, another by its host.
    pub(crate) fn new(host: &Text, namespace: &Text) -> ServiceName {
        let short = host.split_once('.').filter(|(_, rest)| {
            rest.strip_prefix(namespace.as_str()).is_some_and(|rest| rest.starts_with(".svc") && !namespace.is_empty())
        });
        let name = short.map_or_else(|| host.clone(), |(name, _)| name.into());
        ServiceName { host: host.clone(), name, namespace: namespace.clone() }
    }
}

/// All names that labels are made of.
#[derive(Default)]
pub(crate) struct Labels {
    pub(crate) workloads: Names<Workload>,
    pub(crate) services: Names<ServiceName>,
    pub(crate) principals: Names<Text>,
    /// What requests say, where metrics tell of it. Asked once for each combination that comes.
    pub(crate) said: Names<Said>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_number() {
        let names: Names<Text> = Names::default();
        let one = names.number("a".into());
        assert_eq!(names.number("b".into()), NameId(2));
        assert_eq!(names.number("a".into()), one);
        assert_eq!(*names.value(one), "a");
        assert_eq!(names.number("".into()), NameId::UNKNOWN);
    }

    #[test]
    fn there_is_an_end_to_names() {
        let names: Names<Text> = Names::default();
        for number in 0..NAMES_MAX + 10 {
            names.number(number.to_string().into());
        }
        assert_eq!(names.number("one too many".into()), NameId::UNKNOWN);
        assert_ne!(names.number("7".into()), NameId::UNKNOWN, "what is known stays known");
    }

    #[test]
    fn canonical_names_are_found_as_istio_finds_them() {
        let labels = |list: &[(&str, &str)]| -> Vec<(Text, Text)> {
            list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        #[rustfmt::skip]
        let table = [
            (labels(&[]),                                                                   "orders-v1", "latest"),
            (labels(&[("app", "orders"), ("version", "v1")]),                               "orders",    "v1"),
            (labels(&[("app", "o"), ("app.kubernetes.io/name", "k")]),                      "k",         "latest"),
            (labels(&[("app.kubernetes.io/version", "2"), ("version", "v1")]),              "orders-v1", "2"),
            (labels(&[("app", "o"), ("service.istio.io/canonical-name", "c")]),             "c",         "latest"),
        ];
        for (labels, service, revision) in table {
            let workload = Workload::new(&"shop".into(), &"orders-v1".into(), &labels);
            assert_eq!(
                (&*workload.canonical_service, &*workload.canonical_revision),
                (service, revision),
                "{labels:?}"
            );
        }
    }

    #[test]
    fn a_service_of_kubernetes_is_called_by_its_short_name() {
        for (host, namespace, name) in [
            ("orders.shop.svc.cluster.local", "shop", "orders"),
            ("orders.shop.svc.cluster.local", "other", "orders.shop.svc.cluster.local"),
            ("api.example.com", "shop", "api.example.com"),
        ] {
            assert_eq!(ServiceName::new(&host.into(), &namespace.into()).name, name);
        }
    }
}

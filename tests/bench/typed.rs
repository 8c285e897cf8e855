//! The documents of the generated mesh, read by `serde_yaml` alone into types like Taut's: what reading costs elsewhere.
//!
//! The types know what the mesh has and refuse everything else, as Taut's do; they know neither places nor problems.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Reads one file, and says how many objects it holds.
pub(crate) fn read(text: &str) -> usize {
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let mut objects = 0;
    let mut next = || documents.next().inspect(|_| objects += 1);
    let Some(first) = next() else { return 0 };
    if text.starts_with("apiVersion: v1\nkind: Namespace") {
        object::<Labels>(first);
        next().into_iter().for_each(object::<PeerAuthentication>);
    } else {
        object::<Service>(first);
        next().into_iter().for_each(object::<Workload>);
        next().into_iter().for_each(object::<VirtualService>);
        next().into_iter().for_each(object::<DestinationRule>);
        next().into_iter().for_each(object::<AuthorizationPolicy>);
    }
    objects
}

fn object<S: DeserializeOwned>(document: serde_yaml::Deserializer<'_>) {
    let read = Object::<S>::deserialize(document).expect("the generated mesh has only fields that stand here");
    drop(std::hint::black_box(read));
}

type Labels = BTreeMap<String, String>;

/// Declares types that refuse unknown fields, and whose fields are only read into.
macro_rules! types {
    ($($name:ident $(<$generic:ident>)? { $($(#[$meta:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[expect(dead_code, reason = "what is timed is filling them")]
        struct $name $(<$generic>)? { $($(#[$meta])* $field: $type),* }
    )*};
}

types! {
    Object<S> { api_version: String, kind: String, metadata: Meta, spec: Option<S> }
    Meta { name: Option<String>, namespace: Option<String>, labels: Option<Labels> }
    PeerAuthentication { mtls: Option<Mode>, selector: Option<Selector> }
    Mode { mode: String }
    Selector { match_labels: Labels }
    Service { selector: Labels, ports: Vec<Port> }
    Port { name: String, port: u16, target_port: Option<u16> }
    Workload { replicas: Option<u32>, selector: Selector, template: Template }
    Template { metadata: Meta, spec: Pod }
    Pod { service_account_name: Option<String>, containers: Vec<Container> }
    Container { name: String, image: String, ports: Vec<ContainerPort>, resources: Option<Resources> }
    ContainerPort { container_port: u16, name: Option<String> }
    Resources { requests: Option<Labels> }
    VirtualService { hosts: Vec<String>, gateways: Option<Vec<String>>, http: Vec<Route> }
    Route {
        name: Option<String>, r#match: Option<Vec<Match>>, route: Vec<Weighted>, timeout: Option<String>,
        retries: Option<Retries>,
    }
    Match { uri: Option<Text>, headers: Option<BTreeMap<String, Text>> }
    Text { exact: Option<String>, prefix: Option<String>, regex: Option<String> }
    Weighted { destination: Destination, weight: Option<u32> }
    Destination { host: String, subset: Option<String>, port: Option<PortNumber> }
    PortNumber { number: u16 }
    Retries { attempts: u32, per_try_timeout: Option<String>, retry_on: Option<String> }
    DestinationRule { host: String, traffic_policy: Option<TrafficPolicy>, subsets: Option<Vec<Subset>> }
    TrafficPolicy { connection_pool: Option<Pool>, outlier_detection: Option<Outliers> }
    Pool { tcp: Option<TcpPool>, http: Option<HttpPool> }
    TcpPool { max_connections: Option<u32> }
    HttpPool { #[serde(rename = "http2MaxRequests")] http2_max_requests: Option<u32> }
    Outliers {
        #[serde(rename = "consecutive5xxErrors")] consecutive_5xx_errors: Option<u32>, interval: Option<String>,
        base_ejection_time: Option<String>,
    }
    Subset { name: String, labels: Option<Labels> }
    AuthorizationPolicy { selector: Option<Selector>, action: Option<String>, rules: Vec<AuthorizationRule> }
    AuthorizationRule { from: Option<Vec<From>>, to: Option<Vec<To>> }
    From { source: Source }
    Source { principals: Vec<String> }
    To { operation: Operation }
    Operation { methods: Vec<String>, paths: Vec<String> }
}

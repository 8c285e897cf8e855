//! EnvoyFilter (semantics.md §14): patches to the configuration of Envoy. It is read in order to be refused.

use taut_source::{Node, Text};

use crate::message::{keyword, message};
use crate::read::{At, Labels, List, Reader};
use crate::rules;
use crate::scalar::Port;
use crate::selector::{TargetRef, WorkloadSelector};
use crate::string_match::check_regex;

message! {
    /// Patches to the configuration of some Envoys.
    pub struct EnvoyFilter {
        /// The workloads.
        workload_selector: Option<WorkloadSelector> = "workloadSelector";
        /// Gateways or services instead of workloads.
        target_refs: List<TargetRef> = "targetRefs", items(..=16);
        /// The patches.
        config_patches: List<ConfigPatch> = "configPatches";
        /// Which comes first.
        priority: Option<At<i32>> = "priority";
    }
    where at_most_one("workloadSelector", "targetRefs");
}

keyword! {
    /// What is patched.
    pub enum ApplyTo {
        /// Nothing.
        Invalid = "INVALID";
        /// Listeners.
        Listener = "LISTENER";
        /// Filter chains.
        FilterChain = "FILTER_CHAIN";
        /// Network filters.
        NetworkFilter = "NETWORK_FILTER";
        /// HTTP filters.
        HttpFilter = "HTTP_FILTER";
        /// Route tables.
        RouteConfiguration = "ROUTE_CONFIGURATION";
        /// Virtual hosts.
        VirtualHost = "VIRTUAL_HOST";
        /// Routes.
        HttpRoute = "HTTP_ROUTE";
        /// Clusters.
        Cluster = "CLUSTER";
        /// Extensions.
        ExtensionConfig = "EXTENSION_CONFIG";
        /// The bootstrap.
        Bootstrap = "BOOTSTRAP";
        /// Listener filters.
        ListenerFilter = "LISTENER_FILTER";
    }
}

message! {
    /// One patch.
    pub struct ConfigPatch {
        /// What is patched.
        apply_to: Option<At<ApplyTo>> = "applyTo";
        /// Which of them.
        matches: Option<PatchMatch> = "match";
        /// How.
        patch: Option<Patch> = "patch";
    }
    where check(ConfigPatch::check);
}

keyword! {
    /// Whose configuration is patched.
    pub enum PatchContext {
        /// Everyone's.
        Any = "ANY";
        /// Sidecars', towards the workload.
        SidecarInbound = "SIDECAR_INBOUND";
        /// Sidecars', from the workload.
        SidecarOutbound = "SIDECAR_OUTBOUND";
        /// Gateways'.
        Gateway = "GATEWAY";
        /// Waypoints'.
        Waypoint = "WAYPOINT";
    }
}

message! {
    /// Which objects a patch is for.
    pub struct PatchMatch {
        /// Whose.
        context: Option<At<PatchContext>> = "context";
        /// Of which proxies.
        proxy: Option<ProxyMatch> = "proxy";
        /// A listener.
        listener: Option<ListenerMatch> = "listener";
        /// A route table.
        route_configuration: Option<RouteConfigurationMatch> = "routeConfiguration";
        /// A cluster.
        cluster: Option<ClusterMatch> = "cluster";
        /// A part of a waypoint.
        waypoint: Option<WaypointMatch> = "waypoint";
    }
    where at_most_one("listener", "routeConfiguration", "cluster", "waypoint"), check(PatchMatch::check);
}

message! {
    /// Some proxies.
    pub struct ProxyMatch {
        /// Their version, as a pattern.
        proxy_version: Option<At<Text>> = "proxyVersion";
        /// Their metadata.
        metadata: Labels = "metadata";
    }
    where check(ProxyMatch::check);
}

message! {
    /// A listener.
    pub struct ListenerMatch {
        /// Its port.
        port_number: Option<At<u32>> = "portNumber";
        /// Its port, by name.
        port_name: Option<At<Text>> = "portName";
        /// A chain of it.
        filter_chain: Option<FilterChainMatch> = "filterChain";
        /// A listener filter of it.
        listener_filter: Option<At<Text>> = "listenerFilter";
        /// Its name.
        name: Option<At<Text>> = "name";
    }
}

message! {
    /// A filter chain.
    pub struct FilterChainMatch {
        /// Its name.
        name: Option<At<Text>> = "name";
        /// Its server name.
        sni: Option<At<Text>> = "sni";
        /// Its transport.
        transport_protocol: Option<At<Text>> = "transportProtocol";
        /// Its application protocols.
        application_protocols: Option<At<Text>> = "applicationProtocols";
        /// A filter of it.
        filter: Option<FilterMatch> = "filter";
        /// Its port.
        destination_port: Option<At<u32>> = "destinationPort";
        /// Its transport socket.
        transport_socket: Option<At<Text>> = "transportSocket";
    }
}

message! {
    /// A filter.
    pub struct FilterMatch {
        /// Its name.
        name: Option<At<Text>> = "name";
        /// A filter in it.
        sub_filter: Option<SubFilterMatch> = "subFilter";
    }
}

message! {
    /// A filter in a filter.
    pub struct SubFilterMatch {
        /// Its name.
        name: Option<At<Text>> = "name";
    }
}

message! {
    /// A route table.
    pub struct RouteConfigurationMatch {
        /// Its port.
        port_number: Option<At<u32>> = "portNumber";
        /// Its port, by name.
        port_name: Option<At<Text>> = "portName";
        /// Its gateway.
        gateway: Option<At<Text>> = "gateway";
        /// A virtual host of it.
        vhost: Option<VirtualHostMatch> = "vhost";
        /// Its name.
        name: Option<At<Text>> = "name";
    }
}

message! {
    /// A virtual host.
    pub struct VirtualHostMatch {
        /// Its name.
        name: Option<At<Text>> = "name";
        /// A domain of it.
        domain_name: Option<At<Text>> = "domainName";
        /// A route of it.
        route: Option<RouteMatch> = "route";
    }
}

keyword! {
    /// What a route does.
    pub enum RouteAction {
        /// Anything.
        Any = "ANY";
        /// It routes.
        Route = "ROUTE";
        /// It redirects.
        Redirect = "REDIRECT";
        /// It answers.
        DirectResponse = "DIRECT_RESPONSE";
    }
}

message! {
    /// A route.
    pub struct RouteMatch {
        /// Its name.
        name: Option<At<Text>> = "name";
        /// What it does.
        action: Option<At<RouteAction>> = "action";
    }
}

message! {
    /// A cluster.
    pub struct ClusterMatch {
        /// Its port.
        port_number: Option<At<u32>> = "portNumber";
        /// Its service.
        service: Option<At<Text>> = "service";
        /// Its subset.
        subset: Option<At<Text>> = "subset";
        /// Its name.
        name: Option<At<Text>> = "name";
    }
}

message! {
    /// A part of a waypoint.
    pub struct WaypointMatch {
        /// A filter.
        filter: Option<FilterMatch> = "filter";
        /// The port of a service.
        port_number: Option<At<Port>> = "portNumber";
        /// A route.
        route: Option<SubFilterMatch> = "route";
    }
}

keyword! {
    /// How something is patched.
    pub enum PatchOperation {
        /// Not at all.
        Invalid = "INVALID";
        /// It is merged.
        Merge = "MERGE";
        /// It is added.
        Add = "ADD";
        /// It is removed.
        Remove = "REMOVE";
        /// It is put before something.
        InsertBefore = "INSERT_BEFORE";
        /// It is put behind something.
        InsertAfter = "INSERT_AFTER";
        /// It is put in front.
        InsertFirst = "INSERT_FIRST";
        /// It is replaced.
        Replace = "REPLACE";
        /// It is merged, and lists are replaced.
        MergeAndReplaceList = "MERGE_AND_REPLACE_LIST";
    }
}

keyword! {
    /// Where a filter is put.
    pub enum FilterClass {
        /// At the end.
        Unspecified = "UNSPECIFIED";
        /// Before authentication.
        Authn = "AUTHN";
        /// Before authorization.
        Authz = "AUTHZ";
        /// Before statistics.
        Stats = "STATS";
    }
}

message! {
    /// A piece of Envoy's configuration, of which only its name is read.
    pub struct PatchValue open {
        /// Its name: of two patches with one name, the later changes what the earlier put there.
        name: Option<At<Text>> = "name";
    }
}

message! {
    /// How something is patched.
    pub struct Patch {
        /// The way.
        operation: Option<At<PatchOperation>> = "operation";
        /// With what: a piece of Envoy's configuration.
        value: Option<PatchValue> = "value";
        /// Where a filter is put.
        filter_class: Option<At<FilterClass>> = "filterClass";
    }
}

impl ConfigPatch {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let apply_to = self.apply_to.map_or(ApplyTo::Invalid, |apply_to| apply_to.value);
        if apply_to == ApplyTo::Invalid {
            cx.say(&rules::NEEDED, self.span, "this patch does not say what it patches", "add `applyTo:`");
        }
        match &self.patch {
            None => cx.say(&rules::NEEDED, self.span, "this patch changes nothing", "add `patch:`"),
            Some(patch) => {
                let operation = patch.operation.map_or(PatchOperation::Invalid, |operation| operation.value);
                if operation == PatchOperation::Invalid {
                    cx.say(&rules::NEEDED, patch.span, "this patch does not say how it patches", "add `operation:`");
                } else if operation != PatchOperation::Remove && patch.value.is_none() {
                    let message = format!("`operation: {}` needs a value", operation.word());
                    cx.say(&rules::NEEDED, patch.span, message, "add `value:`");
                }
            }
        }
        self.check_place(apply_to, cx);
    }

    /// A patch of one kind of object cannot be matched by another kind.
    fn check_place(&self, apply_to: ApplyTo, cx: &mut Reader<'_>) {
        let Some(place) = &self.matches else { return };
        let written = [
            ("listener", place.listener.as_ref().map(|it| it.span)),
            ("routeConfiguration", place.route_configuration.as_ref().map(|it| it.span)),
            ("cluster", place.cluster.as_ref().map(|it| it.span)),
        ];
        let wanted = match apply_to {
            ApplyTo::Listener
            | ApplyTo::FilterChain
            | ApplyTo::NetworkFilter
            | ApplyTo::HttpFilter
            | ApplyTo::ListenerFilter => "listener",
            ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute => "routeConfiguration",
            ApplyTo::Cluster => "cluster",
            ApplyTo::Invalid | ApplyTo::ExtensionConfig | ApplyTo::Bootstrap => return,
        };
        for (name, span) in written {
            if let Some(span) = span.filter(|_| name != wanted) {
                let message = format!("`applyTo: {}` is found by `{wanted}`, not by `{name}`", apply_to.word());
                cx.say(&rules::EXCLUSIVE, span, message, format!("write `{wanted}:`"));
            }
        }
    }
}

impl PatchMatch {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let waypoint = self.context.is_some_and(|context| context.value == PatchContext::Waypoint);
        match (&self.waypoint, waypoint) {
            (Some(place), false) => {
                cx.say(
                    &rules::EXCLUSIVE,
                    place.span,
                    "`waypoint` is for `context: WAYPOINT`",
                    "write `context: WAYPOINT`",
                );
            }
            (None, true) => {
                cx.say(&rules::NEEDED, self.span, "`context: WAYPOINT` needs a part of a waypoint", "add `waypoint:`");
            }
            _ => {}
        }
    }
}

impl ProxyMatch {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if let Some(version) = self.proxy_version.as_ref().filter(|version| !version.is_empty()) {
            check_regex(version, version.span, cx);
        }
    }
}

//! What is told of a workload's requests, and to whom (semantics.md §12).

use super::{ClusterSet, Links};
use crate::format::codec::{Link, choice, record};
use crate::{Digest, Text};

record! {
    /// What is told of a workload's requests.
    pub struct Telemetry {
        /// How those are traced that it sends, or that a gateway takes; not at all if missing.
        pub client: Option<Tracing> = 1,
        /// How those are traced that it takes as a sidecar.
        pub server: Option<Tracing> = 2,
    }
}

record! {
    /// How requests are traced.
    pub struct Tracing {
        /// To whom spans go.
        pub exporter: Exporter = 1,
        /// How many of ten thousand requests are, where nobody before has decided.
        pub sampling: u32 = 2,
        /// Tags of every span, by name.
        pub tags: Vec<SpanTag> = 3,
        /// Whether the request's id says whether it is traced.
        pub by_request_id: bool = 4,
        /// Whether spans say where in the mesh they are from.
        pub mesh_tags: bool = 5,
        /// Whether whoever gets the request is told of the trace.
        pub propagates: bool = 6,
    }
}

record! {
    /// A collector of spans.
    pub struct Exporter {
        /// The name that the mesh gives it.
        pub name: Text = 1,
        /// Where it is.
        pub clusters: Link<ClusterSet> = 2,
        /// What it speaks.
        pub speaks: Collects = 3,
        /// The longest path in a span.
        pub path_max: u32 = 4,
    }
}

choice! {
    /// What a collector speaks.
    pub enum Collects {
        /// Zipkin's JSON, version 2.
        Zipkin(ZipkinCollector) = 0,
        /// OTLP over gRPC.
        OtlpGrpc = 1,
        /// OTLP over HTTP, at this path.
        OtlpHttp(Text) = 2,
    }
}

record! {
    /// A collector of Zipkin's.
    pub struct ZipkinCollector {
        /// Where spans go.
        pub path: Text = 1,
        /// Whether traces go on in W3C's headers beside B3's.
        pub w3c: bool = 2,
    }
}

record! {
    /// A tag of every span.
    pub struct SpanTag {
        /// Its name.
        pub name: Text = 1,
        /// Its value.
        pub value: TagValue = 2,
    }
}

choice! {
    /// Where the value of a tag is from.
    pub enum TagValue {
        /// It is this.
        Literal(Text) = 0,
        /// It is in a header of the request.
        Header(LookedUp) = 1,
        /// It is in the proxy's environment.
        Environment(LookedUp) = 2,
    }
}

record! {
    /// A value that is looked up.
    pub struct LookedUp {
        /// Under which name; of a header in lower case.
        pub name: Text = 1,
        /// What it is if there is none; without one, there is no tag.
        pub otherwise: Text = 2,
    }
}

impl Links for Telemetry {
    fn links(&self) -> Vec<Digest> {
        super::digests([&self.client, &self.server].into_iter().flatten().map(|tracing| tracing.exporter.clusters))
    }
}

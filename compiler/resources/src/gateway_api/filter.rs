//! Filters of HTTPRoute and GRPCRoute: what happens to a request on its way (semantics.md §18.4).

use taut_source::{Node, Text};

use super::{BackendRef, LocalRef};
use crate::grammar::{CORS_ORIGIN, PATH_CHARACTERS, PRECISE_HOSTNAME, TOKEN};
use crate::header_value::{HeaderSide, check_header_value, is_host};
use crate::message::{keyword, message};
use crate::read::{At, List, Reader};
use crate::rules;
use crate::scalar::Port;

keyword! {
    /// What a filter does.
    pub enum FilterType {
        /// Changes headers of the request.
        RequestHeaderModifier = "RequestHeaderModifier";
        /// Changes headers of the response.
        ResponseHeaderModifier = "ResponseHeaderModifier";
        /// Sends a copy elsewhere.
        RequestMirror = "RequestMirror";
        /// Answers with a redirect.
        RequestRedirect = "RequestRedirect";
        /// Changes the path or host on the way.
        UrlRewrite = "URLRewrite";
        /// Something of the implementation's own.
        ExtensionRef = "ExtensionRef";
        /// Lets pages of other origins read answers.
        Cors = "CORS";
        /// Asks another service.
        ExternalAuth = "ExternalAuth";
    }
}

message! {
    /// One step of a request's way.
    pub struct HttpFilter {
        /// What it does; the field of that name says how.
        kind: At<FilterType> = "type";
        /// Changes of the request's headers.
        request_header_modifier: Option<HeaderModifier> = "requestHeaderModifier";
        /// Changes of the response's headers.
        response_header_modifier: Option<HeaderModifier> = "responseHeaderModifier";
        /// Where a copy goes.
        request_mirror: Option<Mirror> = "requestMirror";
        /// The new address.
        request_redirect: Option<Redirect> = "requestRedirect";
        /// The new path or host.
        url_rewrite: Option<UrlRewrite> = "urlRewrite";
        /// Something of the implementation's own.
        extension_ref: Option<LocalRef> = "extensionRef";
        /// Which other origins may read answers.
        cors: Option<Cors> = "cors";
        /// Who is asked.
        external_auth: Option<ExternalAuth> = "externalAuth";
    }
    where check(HttpFilter::check);
}

impl HttpFilter {
    fn check(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        check_union(self.kind, node, cx);
    }
}

/// What each type of filter keeps its own words under.
const FILTER_FIELDS: &[(FilterType, &str)] = &[
    (FilterType::RequestHeaderModifier, "requestHeaderModifier"),
    (FilterType::ResponseHeaderModifier, "responseHeaderModifier"),
    (FilterType::RequestMirror, "requestMirror"),
    (FilterType::RequestRedirect, "requestRedirect"),
    (FilterType::UrlRewrite, "urlRewrite"),
    (FilterType::ExtensionRef, "extensionRef"),
    (FilterType::Cors, "cors"),
    (FilterType::ExternalAuth, "externalAuth"),
];

/// The field that a filter's type names is there, and no other.
fn check_union(kind: At<FilterType>, node: Node<'_>, cx: &mut Reader<'_>) {
    for (of, key) in FILTER_FIELDS {
        match node.get(key).filter(|value| !value.is_null()) {
            Some(value) if *of != kind.value => {
                let message = format!("`{key}` does not belong to `type: {}`", kind.word());
                cx.say(
                    &rules::EXCLUSIVE,
                    value.span(),
                    message,
                    format!("take it away, or write `type: {}`", of.word()),
                );
            }
            None if *of == kind.value => {
                cx.say(
                    &rules::NEEDED,
                    kind.span,
                    format!("`type: {}` needs `{key}`", kind.word()),
                    format!("add `{key}:`"),
                );
            }
            _ => {}
        }
    }
    check_values(node, "requestHeaderModifier", HeaderSide::Request, cx);
    check_values(node, "responseHeaderModifier", HeaderSide::Response, cx);
}

/// Commands in values of headers are Istio's way to read them; the API itself says nothing of them.
fn check_values(filter: Node<'_>, modifier: &str, side: HeaderSide, cx: &mut Reader<'_>) {
    let Some(modifier) = filter.get(modifier) else { return };
    for header in ["set", "add"].into_iter().filter_map(|key| modifier.get(key)).flat_map(|list| list.items()) {
        let text = |key: &str| header.get(key).and_then(|value| Some((value.text()?, value.span())));
        let (Some((name, _)), Some((value, span))) = (text("name"), text("value")) else { continue };
        if !is_host(&name.into()) {
            check_header_value(value, span, side, cx);
        }
    }
}

/// Most filters stand once in a list.
pub(super) fn check_filters(filters: &[HttpFilter], cx: &mut Reader<'_>) {
    for (index, filter) in filters.iter().enumerate() {
        let many = matches!(
            filter.kind.value,
            FilterType::RequestMirror | FilterType::ExtensionRef | FilterType::ExternalAuth
        );
        if !many && filters[..index].iter().any(|other| other.kind.value == filter.kind.value) {
            let message = format!("a filter of type {} stands here already", filter.kind.word());
            cx.say(&rules::DUPLICATE, filter.kind.span, message, "join the two");
        }
    }
    let of = |kind: FilterType| filters.iter().find(|filter| filter.kind.value == kind);
    if let (Some(_), Some(rewrite)) = (of(FilterType::RequestRedirect), of(FilterType::UrlRewrite)) {
        let message = "a redirect is an answer: there is nothing left to rewrite";
        cx.say(&rules::EXCLUSIVE, rewrite.span, message, "keep one of the two filters");
    }
}

message! {
    /// One step of a gRPC request's way.
    pub struct GrpcFilter {
        /// What it does; the field of that name says how.
        kind: At<GrpcFilterType> = "type";
        /// Changes of the request's headers.
        request_header_modifier: Option<HeaderModifier> = "requestHeaderModifier";
        /// Changes of the response's headers.
        response_header_modifier: Option<HeaderModifier> = "responseHeaderModifier";
        /// Where a copy goes.
        request_mirror: Option<Mirror> = "requestMirror";
        /// Something of the implementation's own.
        extension_ref: Option<LocalRef> = "extensionRef";
    }
    where check(GrpcFilter::check);
}

keyword! {
    /// What a filter of GRPCRoute does.
    pub enum GrpcFilterType {
        /// Changes headers of the response.
        ResponseHeaderModifier = "ResponseHeaderModifier";
        /// Changes headers of the request.
        RequestHeaderModifier = "RequestHeaderModifier";
        /// Sends a copy elsewhere.
        RequestMirror = "RequestMirror";
        /// Something of the implementation's own.
        ExtensionRef = "ExtensionRef";
    }
}

impl GrpcFilterType {
    fn as_http(self) -> FilterType {
        match self {
            GrpcFilterType::RequestHeaderModifier => FilterType::RequestHeaderModifier,
            GrpcFilterType::ResponseHeaderModifier => FilterType::ResponseHeaderModifier,
            GrpcFilterType::RequestMirror => FilterType::RequestMirror,
            GrpcFilterType::ExtensionRef => FilterType::ExtensionRef,
        }
    }
}

impl GrpcFilter {
    fn check(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        check_union(At { value: self.kind.as_http(), span: self.kind.span }, node, cx);
    }
}

/// Header changes stand once in a list.
pub(super) fn check_grpc_filters(filters: &[GrpcFilter], cx: &mut Reader<'_>) {
    for (index, filter) in filters.iter().enumerate() {
        let once =
            matches!(filter.kind.value, GrpcFilterType::RequestHeaderModifier | GrpcFilterType::ResponseHeaderModifier);
        if once && filters[..index].iter().any(|other| other.kind.value == filter.kind.value) {
            let message = format!("a filter of type {} stands here already", filter.kind.word());
            cx.say(&rules::DUPLICATE, filter.kind.span, message, "join the two");
        }
    }
}

message! {
    /// Changes of headers.
    pub struct HeaderModifier {
        /// Replaces every value.
        set: List<HeaderValue> = "set", items(..=16), unique("name");
        /// Adds a value.
        add: List<HeaderValue> = "add", items(..=16), unique("name");
        /// Takes the header away.
        remove: List<At<Text>> = "remove", items(..=16), unique();
    }
}

message! {
    /// A header.
    pub struct HeaderValue {
        /// Its name.
        name: At<Text> = "name", chars(1..=256), is(TOKEN);
        /// Its value.
        value: At<Text> = "value", chars(1..=4096);
    }
}

message! {
    /// Where a copy of the request goes.
    pub struct Mirror {
        /// To whom.
        backend_ref: BackendRef = "backendRef";
        /// How many percent; all if neither is there.
        percent: Option<At<u32>> = "percent", range(0..=100);
        /// How much.
        fraction: Option<Fraction> = "fraction";
    }
    where at_most_one("percent", "fraction");
}

message! {
    /// A part of a whole.
    pub struct Fraction {
        /// How many.
        numerator: At<u32> = "numerator", range(0..=2147483647);
        /// Of how many.
        denominator: At<u32> = "denominator", range(1..=2147483647), default(100);
    }
    where check(Fraction::check);
}

impl Fraction {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        if self.denominator.value < self.numerator.value {
            let message = format!("{} of {} is more than all", self.numerator.value, self.denominator.value);
            cx.say(&rules::OUT_OF_RANGE, self.numerator.span, message, "write a smaller numerator");
        }
    }
}

keyword! {
    /// A scheme of HTTP.
    pub enum Scheme {
        /// Plain.
        Http = "http";
        /// Over TLS.
        Https = "https";
    }
}

message! {
    /// An answer with another address.
    pub struct Redirect {
        /// The new scheme.
        scheme: Option<At<Scheme>> = "scheme";
        /// The new host.
        hostname: Option<At<Text>> = "hostname", chars(1..=253), is(PRECISE_HOSTNAME);
        /// The new path.
        path: Option<PathModifier> = "path";
        /// The new port.
        port: Option<At<Port>> = "port";
        /// The status.
        status_code: At<u32> = "statusCode", default(302);
    }
    where check(Redirect::check);
}

impl Redirect {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let code = self.status_code;
        if !matches!(code.value, 301 | 302 | 303 | 307 | 308) {
            let message = format!("{} is no redirect", code.value);
            cx.say(&rules::OUT_OF_RANGE, code.span, message, "write 301, 302, 303, 307 or 308");
        }
    }
}

message! {
    /// Changes of path and host on the way.
    pub struct UrlRewrite {
        /// The new host.
        hostname: Option<At<Text>> = "hostname", chars(1..=253), is(PRECISE_HOSTNAME);
        /// The new path.
        path: Option<PathModifier> = "path";
    }
}

keyword! {
    /// What of a path is replaced.
    pub enum PathModifierType {
        /// All of it.
        ReplaceFullPath = "ReplaceFullPath";
        /// What the match had as its prefix.
        ReplacePrefixMatch = "ReplacePrefixMatch";
    }
}

message! {
    /// A change of the path.
    pub struct PathModifier {
        /// What of it is replaced.
        kind: At<PathModifierType> = "type";
        /// What all of it becomes.
        replace_full_path: Option<At<Text>> = "replaceFullPath", chars(..=1024);
        /// What the prefix becomes.
        replace_prefix_match: Option<At<Text>> = "replacePrefixMatch", chars(..=1024);
    }
    where check(PathModifier::check);
}

impl PathModifier {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let fields = [
            (PathModifierType::ReplaceFullPath, "replaceFullPath", &self.replace_full_path),
            (PathModifierType::ReplacePrefixMatch, "replacePrefixMatch", &self.replace_prefix_match),
        ];
        for (of, key, field) in fields {
            match field {
                Some(value) if of != self.kind.value => {
                    let message = format!("`{key}` does not belong to `type: {}`", self.kind.word());
                    cx.say(
                        &rules::EXCLUSIVE,
                        value.span,
                        message,
                        format!("take it away, or write `type: {}`", of.word()),
                    );
                }
                None if of == self.kind.value => {
                    cx.say(
                        &rules::NEEDED,
                        self.span,
                        format!("`type: {}` needs `{key}`", of.word()),
                        format!("add `{key}:`"),
                    );
                }
                _ => {}
            }
        }
    }
}

keyword! {
    /// A method that pages of other origins may use.
    pub enum CorsMethod {
        /// GET.
        Get = "GET";
        /// HEAD.
        Head = "HEAD";
        /// POST.
        Post = "POST";
        /// PUT.
        Put = "PUT";
        /// DELETE.
        Delete = "DELETE";
        /// CONNECT.
        Connect = "CONNECT";
        /// OPTIONS.
        Options = "OPTIONS";
        /// TRACE.
        Trace = "TRACE";
        /// PATCH.
        Patch = "PATCH";
        /// Every one.
        Any = "*";
    }
}

message! {
    /// Which other origins may read answers.
    pub struct Cors {
        /// The origins.
        allow_origins: List<At<Text>> = "allowOrigins", items(..=64), chars(1..=253), is(CORS_ORIGIN), unique();
        /// Whether cookies may be sent.
        allow_credentials: Option<At<bool>> = "allowCredentials";
        /// The methods.
        allow_methods: List<At<CorsMethod>> = "allowMethods", items(..=9), unique();
        /// The headers that a request may have.
        allow_headers: List<At<Text>> = "allowHeaders", items(..=64), chars(1..=256), is(TOKEN), unique();
        /// The headers of an answer that a page may read.
        expose_headers: List<At<Text>> = "exposeHeaders", items(..=64), chars(1..=256), is(TOKEN), unique();
        /// How many seconds a browser may remember this; 5 if missing.
        max_age: Option<At<u32>> = "maxAge", range(1..=2147483647);
    }
    where check(Cors::check);
}

impl Cors {
    fn check(&self, node: Node<'_>, cx: &mut Reader<'_>) {
        for key in ["allowOrigins", "allowMethods", "allowHeaders"] {
            let Some(list) = node.get(key).filter(|list| list.items().nth(1).is_some()) else { continue };
            if let Some(star) = list.items().find(|item| item.text() == Some("*")) {
                let message = format!("`*` in `{key}` says everything: nothing can stand beside it");
                cx.say(&rules::EXCLUSIVE, star.span(), message, "keep `*` alone, or leave it out");
            }
        }
    }
}

keyword! {
    /// How another service is asked.
    pub enum ExternalAuthProtocol {
        /// By HTTP.
        Http = "HTTP";
        /// By gRPC.
        Grpc = "GRPC";
    }
}

message! {
    /// Another service that is asked whether a request may pass.
    pub struct ExternalAuth {
        /// How it is asked.
        protocol: At<ExternalAuthProtocol> = "protocol";
        /// The service.
        backend_ref: BackendRef = "backendRef";
        /// What it sees by gRPC.
        grpc: Option<GrpcAuth> = "grpc";
        /// What it sees by HTTP.
        http: Option<HttpAuth> = "http";
        /// Whether it sees the body.
        forward_body: Option<ForwardBody> = "forwardBody";
    }
    where check(ExternalAuth::check);
}

message! {
    /// What is seen by gRPC.
    pub struct GrpcAuth {
        /// Headers.
        allowed_headers: List<At<Text>> = "allowedHeaders", items(..=64), unique();
    }
}

message! {
    /// What is seen by HTTP.
    pub struct HttpAuth {
        /// What stands before the path.
        path: Option<At<Text>> = "path", chars(..=1024), is(PATH_CHARACTERS);
        /// Headers.
        allowed_headers: List<At<Text>> = "allowedHeaders", items(..=64), unique();
        /// Headers of the answer that go to the client.
        allowed_response_headers: List<At<Text>> = "allowedResponseHeaders", items(..=64), unique();
    }
}

message! {
    /// How much of a body is seen.
    pub struct ForwardBody {
        /// At most this many bytes.
        max_size: Option<At<u32>> = "maxSize", range(0..=2147483647);
    }
}

impl ExternalAuth {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let fields = [
            (ExternalAuthProtocol::Grpc, "grpc", self.grpc.as_ref().map(|it| it.span)),
            (ExternalAuthProtocol::Http, "http", self.http.as_ref().map(|it| it.span)),
        ];
        for (of, key, written) in fields {
            match written {
                Some(span) if of != self.protocol.value => {
                    let message = format!("`{key}` does not belong to `protocol: {}`", self.protocol.word());
                    cx.say(
                        &rules::EXCLUSIVE,
                        span,
                        message,
                        format!("take it away, or write `protocol: {}`", of.word()),
                    );
                }
                None if of == self.protocol.value => {
                    cx.say(
                        &rules::NEEDED,
                        self.span,
                        format!("`protocol: {}` needs `{key}`", of.word()),
                        format!("add `{key}:`"),
                    );
                }
                _ => {}
            }
        }
    }
}

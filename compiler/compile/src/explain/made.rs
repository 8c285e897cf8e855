//! Headers whose values are made for each request (semantics.md §3.7): what a request would get, as far as the question
//! decides it. What only a live connection would is left as its operator wrote it.

use taut_snapshot::decide::{Destination, Forwarding, Hit};
use taut_snapshot::object::{CutItem, HeaderNames, HeaderOps, LogItem, LogPiece};

use super::answer::{Answer, Made};
use super::question::{Bytes, Question, Tls};

/// Headers that proxies write themselves: what the client sent of them decides nothing.
const WRITTEN: &[&str] = &["x-forwarded-", "x-envoy-", "x-request-id", "x-b3-", "b3", "traceparent", "tracestate"];

/// The headers of a request while they are changed.
struct Headers(Vec<(String, String)>);

impl Headers {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }
}

/// What is known of a request.
struct Seen<'a> {
    question: &'a Question,
    route: &'a str,
    cluster: Option<&'a str>,
}

/// Writes down the headers that are made of a request and of its answer.
pub(super) fn add(question: &Question, hit: &Hit<'_>, forward: Option<&Forwarding>, into: &mut Answer) {
    if !hit.makes_headers {
        return;
    }
    let route = into.route.clone().unwrap_or_default();
    let destinations = forward.map_or(&[][..], |forward| &forward.destinations);
    let seen = |cluster| Seen { question, route: &route, cluster };
    if destinations.len() <= 1 {
        let cluster = into.clusters.first().map(String::as_str);
        into.made = towards(hit, destinations.first(), true, &seen(cluster));
        return;
    }
    let each = destinations.iter().zip(&into.clusters);
    let each: Vec<Vec<Made>> = each.map(|(to, cluster)| towards(hit, Some(to), false, &seen(Some(cluster)))).collect();
    let mut made: Vec<Made> = Vec::new();
    for (of_one, cluster) in each.iter().zip(&into.clusters) {
        for it in of_one {
            let everywhere = each.iter().all(|others| others.contains(it));
            let only_for = (!everywhere).then(|| cluster.clone());
            let it = Made { only_for, ..it.clone() };
            if !made.contains(&it) {
                made.push(it);
            }
        }
    }
    into.made = made;
}

/// The headers that are made where a request goes to one destination. Of several each has its changes done first, so that
/// the rule's win.
fn towards(hit: &Hit<'_>, to: Option<&Destination>, lone: bool, seen: &Seen<'_>) -> Vec<Made> {
    let mut made = Vec::new();
    let mut headers = Headers(seen.question.headers.clone());
    for of_answer in [false, true] {
        let (rule, own) = match of_answer {
            false => (hit.request_headers, to.and_then(|to| to.request_headers.as_deref())),
            true => (hit.response_headers, to.and_then(|to| to.response_headers.as_deref())),
        };
        let steps = if lone { vec![vec![rule, own]] } else { vec![vec![own], vec![rule]] };
        for step in steps {
            let all: Vec<&HeaderOps> = step.into_iter().flatten().collect();
            change(&mut headers, &all, seen, of_answer, &mut made);
        }
    }
    made
}

/// Does some changes as one list, as the proxy does: what is made is made of what is there once all that is taken away is
/// gone. Those of an answer look at the request's headers, and change none of them.
fn change(headers: &mut Headers, all: &[&HeaderOps], seen: &Seen<'_>, of_answer: bool, found: &mut Vec<Made>) {
    let replace = |name: &str, headers: &mut Headers, found: &mut Vec<Made>| {
        found.retain(|made| made.of_answer != of_answer || made.name != name);
        if !of_answer {
            headers.remove(name);
        }
    };
    all.iter().flat_map(|ops| &ops.remove).for_each(|name| replace(name, headers, found));
    let made = all.iter().flat_map(|ops| &ops.made).map(|made| {
        let value: String = made.value.iter().map(|piece| text(piece, headers, seen)).collect();
        Made { name: made.name.clone(), value, adds: made.adds, of_answer, only_for: None }
    });
    // What comes to nothing is left out.
    let made: Vec<Made> = made.filter(|made| !made.value.is_empty()).collect();
    let (added, set): (Vec<Made>, Vec<Made>) = made.into_iter().partition(|made| made.adds);
    let write = |made: Made, headers: &mut Headers, found: &mut Vec<Made>| {
        if !of_answer {
            headers.add(&made.name, &made.value);
        }
        found.push(made);
    };
    for made in set {
        replace(&made.name, headers, found);
        write(made, headers, found);
    }
    for ops in all {
        for (name, value) in &ops.set {
            replace(name, headers, found);
            if !of_answer {
                headers.add(name, value);
            }
        }
        if !of_answer {
            ops.add.iter().for_each(|(name, value)| headers.add(name, value));
        }
    }
    added.into_iter().for_each(|made| write(made, headers, found));
}

fn text(piece: &LogPiece, headers: &Headers, seen: &Seen<'_>) -> String {
    match piece {
        LogPiece::Text(text) => text.to_string(),
        LogPiece::Item(CutItem { item, most }) => match known(item, headers, seen) {
            Known::Value(mut value) => {
                let end = (0..=*most as usize).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
                if *most != 0 {
                    value.truncate(end);
                }
                value
            }
            Known::Later => piece.to_string(),
        },
    }
}

/// What a question says.
enum Known {
    /// This; nothing, if it is empty.
    Value(String),
    /// Nothing: it takes a live connection.
    Later,
}

fn known(item: &LogItem, headers: &Headers, seen: &Seen<'_>) -> Known {
    let question = seen.question;
    let or_later = |value: Option<String>| value.map_or(Known::Later, Known::Value);
    let asked_for = Some(question.address).filter(|address| !address.is_unspecified());
    match item {
        LogItem::Protocol => match question.bytes {
            Bytes::Http => Known::Value("HTTP/1.1".into()),
            Bytes::Http2 => Known::Value("HTTP/2".into()),
            Bytes::Tcp => Known::Later,
        },
        LogItem::UpstreamCluster => or_later(seen.cluster.map(str::to_owned)),
        LogItem::RouteName => Known::Value(seen.route.to_owned()),
        LogItem::DownstreamLocal => {
            or_later(asked_for.map(|address| std::net::SocketAddr::new(address, question.port).to_string()))
        }
        LogItem::DownstreamLocalIp => or_later(asked_for.map(|address| address.to_string())),
        LogItem::DownstreamRemoteIp => or_later(question.source.map(|address| address.to_string())),
        LogItem::ServerName => match (question.tls, &question.server_name) {
            (Tls::Plaintext, _) => Known::Value(String::new()),
            (_, name) => or_later(name.as_ref().map(ToString::to_string)),
        },
        LogItem::Request(HeaderNames { name, otherwise }) => match header(name, headers, seen) {
            Known::Value(value) if value.is_empty() && !otherwise.is_empty() => header(otherwise, headers, seen),
            found => found,
        },
        _ => Known::Later,
    }
}

fn header(name: &str, headers: &Headers, seen: &Seen<'_>) -> Known {
    match name {
        ":method" => Known::Value(seen.question.method.to_string()),
        ":path" => Known::Value(seen.question.path.to_string()),
        ":authority" => Known::Value(seen.question.host.to_string()),
        name if WRITTEN.iter().any(|written| name.starts_with(written)) => Known::Later,
        name => Known::Value(headers.get(name).unwrap_or_default().to_owned()),
    }
}

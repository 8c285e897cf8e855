//! Formats of access logs (Envoy's `substitution formatter`): text, and commands between percent signs.
//!
//! Owns: the commands that Taut knows. May not: guess; whatever else is between percent signs is a problem.

use taut_source::Text;

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPiece {
    /// It is this.
    Text(Text),
    /// It is looked up; at most so many bytes of it, where a number is not 0.
    Item(LogItem, u32),
}

macro_rules! items {
    ($( $(#[doc = $doc:literal])* $Item:ident = $word:literal; )*) => {
        /// What a command stands for.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum LogItem {
            $( $(#[doc = $doc])* $Item, )*
            /// A header of the request, or else another one. `:method`, `:path` and `:authority` count as headers.
            Request(Text, Option<Text>),
            /// A header of the answer, or else another one.
            Response(Text, Option<Text>),
        }

        fn plain(word: &str) -> Option<LogItem> {
            match word {
                $( $word => Some(LogItem::$Item), )*
                "UPSTREAM_CLUSTER_RAW" => Some(LogItem::UpstreamCluster),
                _ => None,
            }
        }
    };
}

items! {
    /// When the request came.
    StartTime = "START_TIME";
    /// `HTTP/1.1`.
    Protocol = "PROTOCOL";
    /// The status.
    ResponseCode = "RESPONSE_CODE";
    /// Why it is that.
    ResponseCodeDetails = "RESPONSE_CODE_DETAILS";
    /// What went wrong, in Envoy's letters.
    ResponseFlags = "RESPONSE_FLAGS";
    /// Why the connection was ended.
    Termination = "CONNECTION_TERMINATION_DETAILS";
    /// Why the upstream could not be reached.
    TransportFailure = "UPSTREAM_TRANSPORT_FAILURE_REASON";
    /// Bytes of the request's body.
    BytesReceived = "BYTES_RECEIVED";
    /// Bytes of the answer's body.
    BytesSent = "BYTES_SENT";
    /// Milliseconds.
    Duration = "DURATION";
    /// The upstream's address.
    UpstreamHost = "UPSTREAM_HOST";
    /// The upstream's cluster.
    UpstreamCluster = "UPSTREAM_CLUSTER";
    /// This end of the connection to the upstream.
    UpstreamLocal = "UPSTREAM_LOCAL_ADDRESS";
    /// This end of the client's connection.
    DownstreamLocal = "DOWNSTREAM_LOCAL_ADDRESS";
    /// The same without its port.
    DownstreamLocalIp = "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT";
    /// The client.
    DownstreamRemote = "DOWNSTREAM_REMOTE_ADDRESS";
    /// The same without its port.
    DownstreamRemoteIp = "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT";
    /// The name that TLS asked for.
    ServerName = "REQUESTED_SERVER_NAME";
    /// The rule.
    RouteName = "ROUTE_NAME";
}

/// Istio's text (semantics.md §12.4).
pub const USUAL_TEXT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% ",
    "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% ",
    "%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS% ",
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n",
);

/// Istio's JSON.
pub const USUAL_JSON: &[(&str, &str)] = &[
    ("start_time", "%START_TIME%"),
    ("route_name", "%ROUTE_NAME%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    ("duration", "%DURATION%"),
    ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("authority", "%REQ(:AUTHORITY)%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
];

/// The parts of a format.
///
/// # Errors
/// With the first command that is not known.
pub fn parse_log_format(text: &str) -> Result<Vec<LogPiece>, String> {
    let (mut pieces, mut rest, mut plain_text) = (Vec::new(), text, String::new());
    while let Some((before, after)) = rest.split_once('%') {
        plain_text += before;
        if let Some(after) = after.strip_prefix('%') {
            plain_text.push('%');
            rest = after;
            continue;
        }
        // A header's name may have no percent sign, and neither may anything else that is known.
        let Some((command, after)) = after.split_once('%') else {
            return Err(format!("the command that begins with `%{after}` has no end"));
        };
        if !plain_text.is_empty() {
            pieces.push(LogPiece::Text(Text::new(&plain_text)));
            plain_text.clear();
        }
        pieces.push(parse_command(command).ok_or_else(|| format!("Taut does not know the command `%{command}%`"))?);
        rest = after;
    }
    plain_text += rest;
    if !plain_text.is_empty() {
        pieces.push(LogPiece::Text(Text::new(&plain_text)));
    }
    Ok(pieces)
}

fn parse_command(command: &str) -> Option<LogPiece> {
    let (command, most) = match command.rsplit_once(':') {
        Some((command, most)) if command.ends_with(')') => (command, most.parse().ok().filter(|most| *most != 0)?),
        _ => (command, 0),
    };
    let Some((word, within)) = command.strip_suffix(')').and_then(|it| it.split_once('(')) else {
        return plain(command).map(|item| LogPiece::Item(item, most));
    };
    let is_name = |name: &str| {
        let name = name.strip_prefix(':').unwrap_or(name);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let (name, otherwise) = within.split_once('?').map_or((within, None), |(name, other)| (name, Some(other)));
    if !is_name(name) || !otherwise.is_none_or(is_name) {
        return None;
    }
    let lower = |name: &str| Text::new(name.to_ascii_lowercase());
    let (name, otherwise) = (lower(name), otherwise.map(lower));
    let pseudo = |name: &Text| name.starts_with(':');
    let known = |name: &Text| !pseudo(name) || matches!(name.as_str(), ":method" | ":path" | ":authority");
    match word {
        "REQ" if known(&name) && otherwise.as_ref().is_none_or(known) => {
            Some(LogPiece::Item(LogItem::Request(name, otherwise), most))
        }
        "RESP" if !pseudo(&name) && !otherwise.as_ref().is_some_and(pseudo) => {
            Some(LogPiece::Item(LogItem::Response(name, otherwise), most))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_istio_writes_is_known() {
        assert_eq!(parse_log_format(USUAL_TEXT).map(|pieces| pieces.len()), Ok(49));
        for (name, format) in USUAL_JSON {
            assert_eq!(parse_log_format(format).map(|pieces| pieces.len()), Ok(1), "{name}");
        }
    }

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn what_is_not_known_is_named() {
        let item = |item: LogItem, most| vec![LogPiece::Item(item, most)];
        let table = [
            ("100 %%",                   Ok(vec![LogPiece::Text("100 %".into())])),
            ("%DURATION%",               Ok(item(LogItem::Duration, 0))),
            ("%REQ(X-A?:PATH):10%",      Ok(item(LogItem::Request("x-a".into(), Some(":path".into())), 10))),
            ("%RESP(X-A)%",              Ok(item(LogItem::Response("x-a".into(), None), 0))),
            ("%REQ(:SCHEME)%",           Err("Taut does not know the command `%REQ(:SCHEME)%`")),
            ("%START_TIME(%s)%",         Err("Taut does not know the command `%START_TIME(%`")),
            ("%DYNAMIC_METADATA(a)%",    Err("Taut does not know the command `%DYNAMIC_METADATA(a)%`")),
            ("%REQ(X-A):0%",             Err("Taut does not know the command `%REQ(X-A):0%`")),
            ("100 %",                    Err("the command that begins with `%` has no end")),
        ];
        for (text, want) in table {
            assert_eq!(parse_log_format(text), want.map_err(ToOwned::to_owned), "{text}");
        }
    }
}

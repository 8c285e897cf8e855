//! Values of headers that are made for each request (semantics.md §3.7): text, and Envoy's commands between percent signs.
//!
//! Owns: which commands say something on the way to the service, and which on the way back. May not: read a format;
//! `log_format` does.

use taut_source::{Span, Text};

use crate::log_format::{LogItem, LogPiece, parse_log_format};
use crate::read::Reader;
use crate::rules;

/// Whose headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderSide {
    /// The request's, on its way to the service.
    Request,
    /// The answer's, on its way back.
    Response,
}

/// The parts of a value; one text, if nothing of it is looked up.
///
/// # Errors
/// With the first command that is not known, or says nothing there.
pub fn parse_header_value(text: &str, side: HeaderSide) -> Result<Vec<LogPiece>, String> {
    let pieces = parse_log_format(text)?;
    for piece in &pieces {
        let LogPiece::Item(item, _) = piece else { continue };
        match (item.known_from(), side) {
            (Known::Request, _) | (Known::Answer, HeaderSide::Response) => {}
            (Known::Answer, HeaderSide::Request) => {
                return Err(format!("nothing is known of the answer that `{text}` asks for when a request is sent"));
            }
            (Known::End, _) => return Err(format!("what `{text}` asks for is known only when all is over")),
        }
    }
    Ok(pieces)
}

/// Reports a value that is not understood.
pub(crate) fn check_header_value(text: &str, span: Span, side: HeaderSide, cx: &mut Reader<'_>) {
    if !text.contains('%') {
        return;
    }
    if let Err(message) = parse_header_value(text, side) {
        let help = match side {
            HeaderSide::Request => {
                "write commands such as `%REQ(x-a)%` or `%DOWNSTREAM_REMOTE_ADDRESS%`, or `%%` for a percent sign"
            }
            HeaderSide::Response => {
                "write commands such as `%REQ(x-a)%` or `%UPSTREAM_HOST%`, or `%%` for a percent sign"
            }
        };
        cx.say(&rules::UNSUPPORTED_VALUE, span, message, help);
    }
}

/// The headers that name the host: what they are set to is no value that is made.
pub(crate) fn is_host(name: &Text) -> bool {
    name.eq_ignore_ascii_case("host") || name.as_str() == ":authority"
}

/// From when on something is known.
enum Known {
    Request,
    Answer,
    End,
}

impl LogItem {
    fn known_from(&self) -> Known {
        match self {
            LogItem::StartTime
            | LogItem::Protocol
            | LogItem::UpstreamCluster
            | LogItem::DownstreamLocal
            | LogItem::DownstreamLocalIp
            | LogItem::DownstreamRemote
            | LogItem::DownstreamRemoteIp
            | LogItem::ServerName
            | LogItem::RouteName
            | LogItem::Request(..) => Known::Request,
            LogItem::ResponseCode | LogItem::UpstreamHost | LogItem::Response(..) => Known::Answer,
            LogItem::ResponseCodeDetails
            | LogItem::ResponseFlags
            | LogItem::Termination
            | LogItem::TransportFailure
            | LogItem::BytesReceived
            | LogItem::BytesSent
            | LogItem::Duration
            | LogItem::UpstreamLocal => Known::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // a table is read by its columns
    fn what_is_not_known_yet_cannot_be_asked_for() {
        use HeaderSide::{Request, Response};
        let table = [
            ("plain",                            Request,  true),
            ("100%%",                            Request,  true),
            ("%REQ(x-a)% from %DOWNSTREAM_REMOTE_ADDRESS%", Request, true),
            ("%RESP(x-a)%",                      Request,  false),
            ("%RESP(x-a)%",                      Response, true),
            ("%RESPONSE_CODE%",                  Request,  false),
            ("%RESPONSE_CODE%",                  Response, true),
            ("%UPSTREAM_HOST%",                  Request,  false),
            ("%UPSTREAM_HOST%",                  Response, true),
            ("%DURATION%",                       Response, false),
            ("%NONE_SUCH%",                      Response, false),
            ("100%",                             Request,  false),
        ];
        for (text, side, want) in table {
            assert_eq!(parse_header_value(text, side).is_ok(), want, "{text} {side:?}");
        }
    }
}

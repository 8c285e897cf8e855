//! Sessions: requests of one client go to one endpoint.

use taut_source::{Node, Text};

use crate::ShortDuration;
use crate::grammar::TOKEN;
use crate::message::{keyword, message};
use crate::read::{At, Reader};
use crate::rules;

keyword! {
    /// What holds a session.
    pub enum SessionType {
        /// A cookie.
        Cookie = "Cookie";
        /// A header.
        Header = "Header";
    }
}

message! {
    /// Requests of one client go to one endpoint.
    pub struct SessionPersistence {
        /// The longest life of a session.
        absolute_timeout: Option<At<ShortDuration>> = "absoluteTimeout";
        /// What holds it; Cookie if missing.
        kind: At<SessionType> = "type", default(SessionType::Cookie);
        /// The cookie.
        cookie: Option<SessionCookie> = "cookie";
        /// The header.
        header: Option<SessionHeader> = "header";
    }
    where check(SessionPersistence::check);
}

keyword! {
    /// How long a cookie lives.
    pub enum CookieLifetime {
        /// Until it expires.
        Permanent = "Permanent";
        /// Until the browser is closed.
        Session = "Session";
    }
}

message! {
    /// The cookie of a session.
    pub struct SessionCookie {
        /// Its name.
        name: Option<At<Text>> = "name", chars(1..=256), is(TOKEN);
        /// How long it lives; Session if missing.
        lifetime_type: Option<At<CookieLifetime>> = "lifetimeType";
        /// Its path.
        path: Option<At<Text>> = "path", chars(..=1024);
    }
}

message! {
    /// The header of a session.
    pub struct SessionHeader {
        /// Its name.
        name: At<Text> = "name", chars(1..=256), is(TOKEN);
    }
}

impl SessionPersistence {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let is_cookie = self.kind.value == SessionType::Cookie;
        let cookie = self.cookie.as_ref().map(|cookie| cookie.span);
        let header = self.header.as_ref().map(|header| header.span);
        for (name, written, wanted) in [("cookie", cookie, is_cookie), ("header", header, !is_cookie)] {
            let kind = self.kind.word();
            match written {
                Some(span) if !wanted => {
                    let message = format!("`{name}` does not belong to `type: {kind}`");
                    cx.say(&rules::EXCLUSIVE, span, message, format!("take `{name}` away, or change `type`"));
                }
                None if wanted => {
                    let message = format!("`type: {kind}` needs `{name}`");
                    cx.say(&rules::NEEDED, self.span, message, format!("add `{name}:`"));
                }
                _ => {}
            }
        }
        let permanent = self.cookie.as_ref().and_then(|cookie| cookie.lifetime_type);
        let permanent = permanent.filter(|lifetime| lifetime.value == CookieLifetime::Permanent);
        if let Some(lifetime) = permanent.filter(|_| self.absolute_timeout.is_none()) {
            let message = "a permanent cookie needs an end";
            cx.say(&rules::NEEDED, lifetime.span, message, "add `absoluteTimeout:`");
        }
    }
}

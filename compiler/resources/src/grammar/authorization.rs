//! What AuthorizationPolicy compares with: identities and paths (semantics.md §11.2, §11.4).

use super::Grammar;

pub(super) const ALL: &[&Grammar] = &[&SERVICE_ACCOUNT, &TRUST_DOMAIN_MATCH, &PATH_TEMPLATE];

/// A service account, in the policy's own namespace or another.
pub(crate) static SERVICE_ACCOUNT: Grammar = Grammar {
    what: "a service account",
    help: "write `name` or `namespace/name`: a star selects nothing",
    holds: |text| {
        let part = |part: &str| !part.is_empty() && !part.contains(['/', '*']);
        text.split_once('/').map_or(part(text), |(namespace, name)| part(namespace) && part(name))
    },
    pattern: Some(r"^[^/*]+(/[^/*]+)?$"),
};

/// A trust domain, or the start or end of one.
pub(crate) static TRUST_DOMAIN_MATCH: Grammar = Grammar {
    what: "a trust domain",
    help: "write `cluster.local`, `prefix*`, `*suffix` or `*`",
    holds: |text| {
        let inner = text.strip_prefix('*').or(text.strip_suffix('*')).unwrap_or(text);
        !text.is_empty() && !inner.contains('*') && !text.contains('/')
    },
    pattern: Some(r"^(\*?[^*/]*|[^*/]*\*)$"),
};

/// A path: exact, with a star at one end, or a template with `{*}` and `{**}`.
pub(crate) static PATH_TEMPLATE: Grammar = Grammar {
    what: "a path or a template of paths",
    help: "`{*}` stands for one whole segment and `{**}` for all that is left: `/api/{*}/items/{**}`",
    holds: is_path_template,
    pattern: None,
};

fn is_path_template(text: &str) -> bool {
    if !text.contains("{*}") && !text.contains("{**}") {
        return true;
    }
    let literal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(&byte);
    let mut closed = false;
    text.split('/').all(|segment| match segment {
        "{*}" => !closed,
        "{**}" => !std::mem::replace(&mut closed, true),
        literals => literals.bytes().all(literal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_and_paths() {
        #[rustfmt::skip]
        let table = [
            (&SERVICE_ACCOUNT, "orders", true), (&SERVICE_ACCOUNT, "shop/orders", true), (&SERVICE_ACCOUNT, "shop/", false),
            (&SERVICE_ACCOUNT, "a/b/c", false), (&SERVICE_ACCOUNT, "shop/*", false), (&SERVICE_ACCOUNT, "", false),
            (&TRUST_DOMAIN_MATCH, "cluster.local", true), (&TRUST_DOMAIN_MATCH, "*", true), (&TRUST_DOMAIN_MATCH, "*.local", true),
            (&TRUST_DOMAIN_MATCH, "a*", true), (&TRUST_DOMAIN_MATCH, "*a*", false), (&TRUST_DOMAIN_MATCH, "a*b", false),
            (&TRUST_DOMAIN_MATCH, "a/b", false),
            (&PATH_TEMPLATE, "/a", true), (&PATH_TEMPLATE, "/a*", true), (&PATH_TEMPLATE, "/{*}/b", true), (&PATH_TEMPLATE, "/a/{**}", true),
            (&PATH_TEMPLATE, "/{**}/{*}", false), (&PATH_TEMPLATE, "/{**}/{**}", false), (&PATH_TEMPLATE, "/a{*}", false),
            (&PATH_TEMPLATE, "/{*}/b*", false), (&PATH_TEMPLATE, "/{**}/a", true), (&PATH_TEMPLATE, "/{a}", true), (&PATH_TEMPLATE, "/{*}/{a}", false),
        ];
        for (grammar, text, want) in table {
            assert_eq!((grammar.holds)(text), want, "{text} as {}", grammar.what);
        }
    }
}

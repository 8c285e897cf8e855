//! Webhooks that lead to a control plane outside the cluster.

use taut_resources::{Webhook, WebhookConfiguration};

use crate::mesh::{Mesh, Of};

/// The webhooks of control planes, with the object that each is of: validators and injectors by name.
pub(super) fn external_webhooks<'m, 'r>(
    mesh: &'m Mesh<'r>,
) -> impl Iterator<Item = (&'m Of<'r, WebhookConfiguration>, &'r Webhook)> {
    let of_control_plane = |of: &&Of<'r, WebhookConfiguration>| match of.resource.subject.kind().as_str() {
        "ValidatingWebhookConfiguration" => {
            of.name().starts_with("istio-validator") || of.name() == "istiod-default-validator"
        }
        _ => of.name().starts_with("istio-sidecar-injector"),
    };
    let found = mesh.inventory.webhooks.iter().filter(of_control_plane);
    found.flat_map(|of| of.spec.webhooks.iter().map(move |webhook| (of, webhook)))
}

/// The host of a URL, or why it is none.
pub(super) fn host_of(url: &str) -> Result<&str, &'static str> {
    if url.chars().any(|letter| letter.is_ascii_control() || letter == ' ') {
        return Err("it has a character that no URL has");
    }
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme, such as `https://`")?;
    if !matches!(scheme, "http" | "https") {
        return Err("its scheme is not `https`");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("its address has no `]`")?,
        None => address.find(':').map_or((address, ""), |at| address.split_at(at)),
    };
    let number = port.strip_prefix(':').unwrap_or(port);
    if !number.is_empty() && number.parse::<u16>().is_err() {
        return Err("its port is no number");
    }
    if host.is_empty() { Err("it names no host") } else { Ok(host) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_found() {
        assert_eq!(host_of("https://a.example.org:15017/inject"), Ok("a.example.org"));
        assert_eq!(host_of("https://[::1]:15017/inject"), Ok("::1"));
        for bad in ["a.example.org/inject", "https:///inject", "https://a:b/", "ftp://a", "https://a b/"] {
            assert!(host_of(bad).is_err(), "{bad}");
        }
    }
}

//! BackendTLSPolicy: TLS towards a service (semantics.md §18.5).

use taut_source::{Node, Text};

use super::LocalRef;
use crate::grammar::{API_GROUP, API_KIND, HOSTNAME, PRECISE_HOSTNAME, SUBDOMAIN, URI, WELL_KNOWN_CERTIFICATES};
use crate::message::{keyword, message};
use crate::read::{At, Labels, List, Reader};
use crate::rules;

message! {
    /// How gateways talk TLS to some services.
    pub struct BackendTlsPolicy {
        /// The services.
        target_refs: List<PolicyTarget> = "targetRefs", required, items(1..=16);
        /// How their certificates are checked.
        validation: BackendValidation = "validation";
        /// What the implementation alone knows.
        options: Labels = "options", refused("Istio has no options either: take it away"), items(..=16), chars(..=4096);
    }
    where check(BackendTlsPolicy::check);
}

message! {
    /// A service, or a port of one.
    pub struct PolicyTarget {
        /// The group of its kind; empty for the core one.
        group: At<Text> = "group", chars(..=253), is(API_GROUP);
        /// Its kind.
        kind: At<Text> = "kind", chars(1..=63), is(API_KIND);
        /// Its name.
        name: At<Text> = "name", chars(1..=253);
        /// A port, by name.
        section_name: Option<At<Text>> = "sectionName", chars(1..=253), is(SUBDOMAIN);
    }
}

message! {
    /// How a certificate is checked.
    pub struct BackendValidation {
        /// The roots.
        ca_certificate_refs: List<LocalRef> = "caCertificateRefs", items(..=8);
        /// The roots, by a name that everyone knows.
        well_known_ca_certificates: Option<At<Text>> = "wellKnownCACertificates", chars(1..=253), is(WELL_KNOWN_CERTIFICATES);
        /// The server name, which the certificate has.
        hostname: At<Text> = "hostname", chars(1..=253), is(PRECISE_HOSTNAME);
        /// The names that it has instead: any of these.
        subject_alt_names: List<SubjectAltName> = "subjectAltNames", items(..=5);
    }
    where check(BackendValidation::check);
}

keyword! {
    /// What kind of name a certificate has.
    pub enum SubjectAltNameType {
        /// A host.
        Hostname = "Hostname";
        /// A URI.
        Uri = "URI";
    }
}

message! {
    /// A name of a certificate.
    pub struct SubjectAltName {
        /// What kind of name it is.
        kind: At<SubjectAltNameType> = "type";
        /// The host.
        hostname: Option<At<Text>> = "hostname", chars(1..=253), is(HOSTNAME);
        /// The URI.
        uri: Option<At<Text>> = "uri", chars(1..=253), is(URI);
    }
    where check(SubjectAltName::check);
}

impl BackendTlsPolicy {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let section = |it: &PolicyTarget| it.section_name.as_ref().map(|name| name.value.clone());
        for (index, target) in self.target_refs.iter().enumerate() {
            let same = |other: &&PolicyTarget| {
                (&other.group.value, &other.kind.value, &other.name.value)
                    == (&target.group.value, &target.kind.value, &target.name.value)
            };
            let clash = self.target_refs[..index].iter().filter(same).find(|other| {
                section(other) == section(target) || section(other).is_none() != section(target).is_none()
            });
            if clash.is_some() {
                let help = "give each a `sectionName` of its own";
                cx.say(&rules::DUPLICATE, target.span, format!("`{}` is a target already", target.name.value), help);
            }
        }
    }
}

impl BackendValidation {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        match (self.ca_certificate_refs.first(), &self.well_known_ca_certificates) {
            (Some(_), Some(known)) => {
                let message = "`caCertificateRefs` and `wellKnownCACertificates` exclude each other";
                cx.say(&rules::EXCLUSIVE, known.span, message, "keep one of them");
            }
            (None, None) => {
                let help = "add `caCertificateRefs:` or `wellKnownCACertificates: System`";
                cx.say(&rules::NEEDED, self.span, "nothing says which certificates are good", help);
            }
            _ => {}
        }
    }
}

impl SubjectAltName {
    fn check(&self, _: Node<'_>, cx: &mut Reader<'_>) {
        let fields =
            [(SubjectAltNameType::Hostname, "hostname", &self.hostname), (SubjectAltNameType::Uri, "uri", &self.uri)];
        for (of, key, field) in fields {
            let written = field.as_ref().filter(|text| !text.is_empty());
            match written {
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

//! The two macros that declare resources: `message!` for maps with named fields, `keyword!` for fixed words.
//!
//! One declaration gives the type, its reader, its JSON Schema and its rows in the table of fields, so that the four
//! cannot disagree. Every field says what becomes of it:
//!
//! - nothing: it is carried to the data plane;
//! - `refused("what to write instead")`: it is valid and Taut does not do it: reported with stage `support`;
//! - `inert("why")`: it is valid and by Istio's own rules changes nothing in the data plane.

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It reaches the data plane.
    Carried,
    /// It is reported, with what to write instead.
    Refused(&'static str),
    /// It changes nothing in the data plane, and why.
    Inert(&'static str),
}

/// One field of a message, for the table of fields.
#[derive(Clone, Copy, Debug)]
pub struct FieldInfo {
    /// As written in YAML.
    pub key: &'static str,
    /// What becomes of it.
    pub status: Status,
    /// The messages below it.
    pub below: fn() -> &'static [FieldInfo],
}

/// Declares a map with named fields. `open` after the name lets unknown fields pass: they are Kubernetes' own.
macro_rules! message {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $Name:ident $($open:ident)? {
            $(
                $(#[doc = $field_doc:literal])*
                $field:ident : $Type:ty = $key:literal $(, $status:ident ( $why:literal ))? ;
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $Name {
            /// Where the map stands.
            pub span: taut_source::Span,
            $(
                $(#[doc = $field_doc])*
                pub $field: $Type,
            )*
        }

        impl crate::read::Read for $Name {
            #[allow(unused_mut, unused_variables, clippy::allow_attributes, reason = "a message may have no fields")]
            fn read(node: taut_source::Node<'_>, cx: &mut crate::read::Reader<'_>) -> Option<Self> {
                if !matches!(node.data(), taut_source::Data::Map) {
                    return cx.wrong_type(node, "a map");
                }
                $( let mut $field: Option<Option<$Type>> = None; )*
                const KEYS: &[&str] = &[$($key),*];
                for (key, value) in node.pairs() {
                    // A null is a field that was left out.
                    if value.is_null() && KEYS.contains(&key.text().unwrap_or_default()) {
                        continue;
                    }
                    match key.text() {
                        $(
                            Some($key) => {
                                cx.status(key, message!(@status $($status($why))?));
                                $field = Some(<$Type as crate::read::Read>::read(value, cx));
                            }
                        )*
                        _ => message!(@unknown $($open)? ; cx, key, KEYS),
                    }
                }
                // Every missing field is reported; one that could not be read was reported where it stands.
                $(
                    let $field = match $field {
                        Some(Some(value)) => Some(value),
                        Some(None) => <$Type as crate::read::Read>::absent(),
                        None => <$Type as crate::read::Read>::absent().or_else(|| cx.missing(node, $key)),
                    };
                )*
                Some($Name { span: node.span(), $( $field: $field?, )* })
            }

            fn fields() -> &'static [crate::message::FieldInfo] {
                &[$(
                    crate::message::FieldInfo {
                        key: $key,
                        status: message!(@status $($status($why))?),
                        below: <$Type as crate::read::Read>::fields,
                    },
                )*]
            }

            #[allow(unused_mut, clippy::allow_attributes, reason = "a message may have no fields")]
            fn schema() -> serde_json::Value {
                let mut properties = serde_json::Map::new();
                let mut required: Vec<serde_json::Value> = Vec::new();
                $(
                    let mut schema = <$Type as crate::read::Read>::schema();
                    let about: &[&str] = &[$($field_doc),*];
                    crate::read::describe(&mut schema, about);
                    properties.insert($key.to_owned(), schema);
                    if <$Type as crate::read::Read>::absent().is_none() {
                        required.push($key.into());
                    }
                )*
                crate::read::object_schema(properties, required, message!(@closed $($open)?))
            }
        }
    };
    (@status) => { crate::message::Status::Carried };
    (@status refused($why:literal)) => { crate::message::Status::Refused($why) };
    (@status inert($why:literal)) => { crate::message::Status::Inert($why) };
    (@unknown ; $cx:ident, $key:ident, $known:expr) => { $cx.unknown_field($key, $known) };
    (@unknown open ; $cx:ident, $key:ident, $known:expr) => { () };
    (@closed) => { true };
    (@closed open) => { false };
}

/// Declares a value that is one of a few fixed words. A word may be `refused("...")`, as a field may.
macro_rules! keyword {
    (
        $(#[doc = $doc:literal])*
        pub enum $Name:ident {
            $(
                $(#[doc = $word_doc:literal])*
                $Word:ident = $text:literal $(, refused ( $why:literal ))? ;
            )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $Name {
            $(
                $(#[doc = $word_doc])*
                $Word,
            )*
        }

        impl $Name {
            /// As written in YAML.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $( $Name::$Word => $text, )*
                }
            }
        }

        impl crate::read::Read for $Name {
            fn read(node: taut_source::Node<'_>, cx: &mut crate::read::Reader<'_>) -> Option<Self> {
                match node.text() {
                    $(
                        Some($text) => {
                            $( cx.refused_word(node, $text, $why); )?
                            Some($Name::$Word)
                        }
                    )*
                    _ => cx.unknown_word(node, &[$($text),*]),
                }
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({"type": "string", "enum": [$($text),*]})
            }
        }
    };
}

pub(crate) use {keyword, message};

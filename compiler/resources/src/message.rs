//! The two macros that declare resources: `message!` for maps with named fields, `keyword!` for fixed words.
//!
//! One declaration gives the type, its reader, its checks, its JSON Schema and its rows in the table of fields, so that
//! the five cannot disagree. After its key a field says, separated by commas:
//!
//! what becomes of it
//! - nothing: it is carried to the data plane;
//! - `refused("what to write instead")`: it is valid and Taut does not do it: reported with stage `support`;
//! - `inert("why")`: it is valid and by Istio's own rules changes nothing in the data plane;
//!
//! what may stand there, beyond its type (see `limit`)
//! - `chars(1..=63)` and `is(GRAMMAR)` for a text, each item of a list of texts, or each value of a map of them;
//!   `if_set(GRAMMAR)` where the empty text means that the field is not set;
//! - `range(0..=100)` for a number; `items(..=16)` for a list or map; `keys(GRAMMAR)` for the keys of a map;
//! - `unique("name")` for a list whose items differ in that field; `unique()` for one whose items differ;
//! - `deprecated("what to use")`, which is a warning;
//!
//! and what a missing one means
//! - `required`: it must stand there although its type could do without;
//! - `default(VALUE)`: the API server fills it in;
//! - `otherwise(FUNCTION)`: the same, for a value that is made from the place where it would stand;
//! - `alias("key")`: a second key for the same field.
//!
//! After the fields, `where` holds for the whole map: `at_most_one("a", "b")`, `exactly_one(..)`, `at_least_one(..)`,
//! and `check(FUNCTION)` for a rule in Rust. The function sees what was read and where it stands.

use crate::limit::Limit;

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

/// What a message says of one of its fields.
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) status: Status,
    pub(crate) limits: &'static [Limit],
    pub(crate) required: bool,
}

/// Declares a map with named fields. `open` after the name lets unknown fields pass: they are Kubernetes' own.
macro_rules! message {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $Name:ident $($open:ident)? {
            $(
                $(#[doc = $field_doc:literal])*
                $field:ident : $Type:ty = $key:literal $(, $word:ident $(( $($argument:tt)* ))? )* ;
            )*
        }
        $( where $( $rule:ident ( $($member:tt)* ) ),+ ; )?
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
                for (key, value) in node.pairs() {
                    let camel = cx.camel_case(key);
                    match camel.as_deref().or(key.text()) {
                        $(
                            Some(message!(@keys $key $(, $word $(( $($argument)* ))? )*)) => {
                                $field = cx.field(key, value, const {
                                    &message!(@field $key $(, $word $(( $($argument)* ))? )*)
                                });
                            }
                        )*
                        _ => message!(@unknown $($open)? ; cx, key, [$($key),*]),
                    }
                }
                // Every missing field is reported; one that could not be read was reported where it stands.
                $(
                    let $field: Option<$Type> = match $field {
                        Some(Some(value)) => Some(value),
                        Some(None) => message!(@absent node $(, $word $(( $($argument)* ))? )*),
                        None => message!(@absent node $(, $word $(( $($argument)* ))? )*).or_else(|| {
                            cx.missing(node, $key)
                        }),
                    };
                    if message!(@required $(, $word $(( $($argument)* ))? )*) && node.get($key).is_none_or(|it| it.is_null()) {
                        let _: Option<()> = cx.missing(node, $key);
                    }
                )*
                let read = $Name { span: node.span(), $( $field: $field?, )* };
                $( $( message!(@rule $rule ( $($member)* ) read, node, cx); )+ )?
                Some(read)
            }

            fn fields() -> &'static [crate::message::FieldInfo] {
                &[$(
                    crate::message::FieldInfo {
                        key: $key,
                        status: message!(@status $(, $word $(( $($argument)* ))? )*),
                        below: <$Type as crate::read::Read>::fields,
                    },
                )*]
            }

            #[allow(unused_mut, clippy::allow_attributes, reason = "a message may have no fields")]
            fn schema() -> serde_json::Value {
                let mut object = crate::schema::Object::new(message!(@closed $($open)?));
                $(
                    let field = const { &message!(@field $key $(, $word $(( $($argument)* ))? )*) };
                    let optional = message!(@optional $Type $(, $word $(( $($argument)* ))? )*);
                    for key in message!(@aliases $key $(, $word $(( $($argument)* ))? )*) {
                        let value = <$Type as crate::read::Read>::schema();
                        object.field(key, field, optional, value, &[$($field_doc),*]);
                    }
                )*
                $( $( message!(@schema_rule $rule ( $($member)* ) object); )+ )?
                object.finish()
            }
        }
    };

    (@unknown ; $cx:ident, $key:ident, $known:expr) => { $cx.unknown_field($key, &$known) };
    (@unknown open ; $cx:ident, $key:ident, $known:expr) => { () };
    (@closed) => { true };
    (@closed open) => { false };

    (@keys $key:literal) => { $key };
    (@keys $key:literal , alias ( $alias:literal ) $($rest:tt)*) => { $key | $alias };
    (@keys $key:literal , $word:ident ( $($argument:tt)* ) $($rest:tt)*) => { message!(@keys $key $($rest)*) };
    (@keys $key:literal , $word:ident $($rest:tt)*) => { message!(@keys $key $($rest)*) };

    (@aliases $key:literal) => { [$key] };
    (@aliases $key:literal , alias ( $alias:literal ) $($rest:tt)*) => { [$key, $alias] };
    (@aliases $key:literal , $word:ident ( $($argument:tt)* ) $($rest:tt)*) => { message!(@aliases $key $($rest)*) };
    (@aliases $key:literal , $word:ident $($rest:tt)*) => { message!(@aliases $key $($rest)*) };

    (@field $key:literal $($words:tt)*) => {
        crate::message::Field {
            key: $key,
            status: message!(@status $($words)*),
            limits: message!(@limits [] $($words)*),
            required: message!(@required $($words)*),
        }
    };

    (@status) => { crate::message::Status::Carried };
    (@status , refused ( $why:literal ) $($rest:tt)*) => { crate::message::Status::Refused($why) };
    (@status , inert ( $why:literal ) $($rest:tt)*) => { crate::message::Status::Inert($why) };
    (@status , $word:ident ( $($argument:tt)* ) $($rest:tt)*) => { message!(@status $($rest)*) };
    (@status , $word:ident $($rest:tt)*) => { message!(@status $($rest)*) };

    (@required) => { false };
    (@required , required $($rest:tt)*) => { true };
    (@required , $word:ident ( $($argument:tt)* ) $($rest:tt)*) => { message!(@required $($rest)*) };

    (@absent $node:ident) => { crate::read::Read::absent() };
    (@absent $node:ident , default ( $value:expr ) $($rest:tt)*) => {
        Some(crate::read::At { value: $value, span: $node.span() })
    };
    (@absent $node:ident , otherwise ( $make:path ) $($rest:tt)*) => { Some($make($node)) };
    (@absent $node:ident , $word:ident ( $($argument:tt)* ) $($rest:tt)*) => { message!(@absent $node $($rest)*) };
    (@absent $node:ident , $word:ident $($rest:tt)*) => { message!(@absent $node $($rest)*) };

    (@optional $Type:ty) => { <$Type as crate::read::Read>::absent().is_some() };
    (@optional $Type:ty , default ( $value:expr ) $($rest:tt)*) => { true };
    (@optional $Type:ty , otherwise ( $make:path ) $($rest:tt)*) => { true };
    (@optional $Type:ty , $word:ident ( $($argument:tt)* ) $($rest:tt)*) => { message!(@optional $Type $($rest)*) };
    (@optional $Type:ty , $word:ident $($rest:tt)*) => { message!(@optional $Type $($rest)*) };

    (@limits [$($limit:expr,)*]) => { &[$($limit),*] };
    (@limits [$($limit:expr,)*] , chars ( $least:literal ..= $most:literal ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Chars { least: $least, most: $most },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , chars ( $least:literal .. ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Chars { least: $least, most: usize::MAX },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , chars ( ..= $most:literal ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Chars { least: 0, most: $most },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , items ( $least:literal ..= $most:literal ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Items { least: $least, most: $most },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , items ( $least:literal .. ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Items { least: $least, most: usize::MAX },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , items ( ..= $most:literal ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Items { least: 0, most: $most },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , range ( $least:literal ..= $most:literal ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Range { least: $least as f64, most: $most as f64 },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , range ( $least:literal .. ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Range { least: $least as f64, most: f64::INFINITY },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , range ( ..= $most:literal ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Range { least: 0.0, most: $most as f64 },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , is ( $grammar:path ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Is { grammar: &$grammar, or_empty: false },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , if_set ( $grammar:path ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Is { grammar: &$grammar, or_empty: true },] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , keys ( $grammar:path ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Keys(&$grammar),] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , unique ( $($key:literal),* ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Unique(&[$($key),*]),] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , deprecated ( $instead:literal ) $($rest:tt)*) => {
        message!(@limits [$($limit,)* crate::limit::Limit::Deprecated($instead),] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , $word:ident ( $($argument:tt)* ) $($rest:tt)*) => {
        message!(@limits [$($limit,)*] $($rest)*)
    };
    (@limits [$($limit:expr,)*] , $word:ident $($rest:tt)*) => { message!(@limits [$($limit,)*] $($rest)*) };

    (@rule at_most_one ( $($key:literal),+ ) $read:ident, $node:ident, $cx:ident) => {
        $cx.at_most_one($node, &[$($key),+]);
    };
    (@rule exactly_one ( $($key:literal),+ ) $read:ident, $node:ident, $cx:ident) => {
        $cx.at_most_one($node, &[$($key),+]);
        $cx.at_least_one($node, &[$($key),+]);
    };
    (@rule at_least_one ( $($key:literal),+ ) $read:ident, $node:ident, $cx:ident) => {
        $cx.at_least_one($node, &[$($key),+]);
    };
    (@rule check ( $check:path ) $read:ident, $node:ident, $cx:ident) => {
        $check(&$read, $node, $cx);
    };

    (@schema_rule at_most_one ( $($key:literal),+ ) $object:ident) => { $object.at_most_one(&[$($key),+]); };
    (@schema_rule exactly_one ( $($key:literal),+ ) $object:ident) => {
        $object.at_most_one(&[$($key),+]);
        $object.at_least_one(&[$($key),+]);
    };
    (@schema_rule at_least_one ( $($key:literal),+ ) $object:ident) => { $object.at_least_one(&[$($key),+]); };
    (@schema_rule check ( $check:path ) $object:ident) => {};
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

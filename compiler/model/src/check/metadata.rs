//! Rules about names, annotations and statuses of any object.

mod alpha_annotation;
mod deprecated_annotation;
mod deprecated_field;
mod duplicate_object;
mod invalid_annotation;
mod known;
mod misplaced_annotation;
mod negative_condition;
mod unknown_annotation;
mod unknown_export;

use crate::check::Check;

pub(super) const CHECKS: &[Check] = &[
    alpha_annotation::CHECK,
    deprecated_annotation::CHECK,
    deprecated_field::CHECK,
    duplicate_object::CHECK,
    invalid_annotation::CHECK,
    misplaced_annotation::CHECK,
    negative_condition::CHECK,
    unknown_annotation::CHECK,
    unknown_export::CHECK,
];

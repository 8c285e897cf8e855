//! Documents become typed resources: one file per kind.
//!
//! Owns: which fields each kind has, what type each is, which of them Taut carries to the data plane, and the rules
//! that one resource alone can break (stages `schema`, `type` and `support`).
//! May not: look at another resource; that is `model`.
//! Invariant: a field that is read is carried to the data plane, or reported. There is no third case (see `message`).

mod message;

mod catalogue;
mod kind;
mod object;

mod grammar;
mod header_value;
mod limit;
mod meta;
mod otherwise;
mod re2;
mod read;
mod reported;
mod rules;
mod schema;

mod duration;
mod export_to;
mod scalar;
mod selector;
mod server_tls;
mod string_match;

mod authorization_policy;
mod config_map;
mod custom_resource_definition;
mod destination_rule;
mod endpoint_slice;
mod envoy_filter;
mod gateway;
mod ingress;
mod log_filter;
mod log_format;
mod mesh_config;
mod namespace;
mod node;
mod peer_authentication;
mod proxy_config;
mod request_authentication;
mod secret;
mod service;
mod service_account;
mod service_entry;
mod sidecar;
mod telemetry;
mod virtual_service;
mod wasm_plugin;
mod webhook_configuration;
mod workload;
mod workload_entry;
mod workload_group;

pub mod gateway_api;

pub use authorization_policy::*;
pub use catalogue::{field_table, schema_files};
pub use config_map::*;
pub use custom_resource_definition::*;
pub use destination_rule::*;
pub use duration::{Duration, DurationOrZero, ShortDuration};
pub use endpoint_slice::*;
pub use envoy_filter::*;
pub use gateway::*;
pub use grammar::{Grammar, grammars};
pub use header_value::{HeaderSide, parse_header_value};
pub use ingress::*;
pub use kind::{Api, KINDS, Kind, Resource, Spec, Support};
pub use log_filter::{FilterAttribute, FilterStep, FilterTest, parse_log_filter};
pub use log_format::{LogItem, LogPiece, USUAL_JSON, USUAL_TEXT, parse_log_format};
pub use mesh_config::*;
pub use message::{FieldInfo, Status};
pub use meta::{Meta, OwnerReference};
pub use namespace::*;
pub use node::*;
pub use object::{Outcome, read_resource};
pub use peer_authentication::*;
pub use proxy_config::*;
pub use re2::{Re2Problem, translate as translate_pattern};
pub use read::{At, Labels, List, Named, Read, Reader, TextAt};
pub use reported::{Reported, ReportedCondition};
pub use request_authentication::*;
pub use rules::{UNSUPPORTED_KIND_CODE, all as rules};
pub use scalar::{Base64, FreeForm, IntOrText, Percent, Port, PortOrZero, PortRef};
pub use secret::*;
pub use selector::*;
pub use server_tls::*;
pub use service::*;
pub use service_account::*;
pub use service_entry::*;
pub use sidecar::*;
pub use string_match::{MatchBy, StringMatch};
pub use telemetry::*;
pub use virtual_service::*;
pub use wasm_plugin::*;
pub use webhook_configuration::*;
pub use workload::*;
pub use workload_entry::*;
pub use workload_group::*;

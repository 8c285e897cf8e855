//! Capture: the kernel sends an application's connections, and those to it, through the proxy (semantics.md §17.2).
//!
//! Owns: the rules of a network namespace as text, what is left alone, and how they are put up and taken down.
//! May not: know of snapshots: what becomes of a captured connection is decided like that of any other.
//! Invariant: everything is in one table (or two chains) of our own name, put up and taken down as a whole.

mod apply;
mod rules;

use std::net::IpAddr;

pub use apply::{CaptureError, put_up, take_down};

/// What is captured, and what is left alone. Names are those of Istio's own tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Where connections to others are sent; none if they are not captured.
    pub outbound_port: Option<u16>,
    /// Where connections of others are sent; none if they are not captured.
    pub inbound_port: Option<u16>,
    /// The group that the proxy runs in: what it sends itself is left alone.
    pub proxy_gid: u32,
    /// Users whose connections are left alone.
    pub exclude_uids: Vec<u32>,
    /// Ports of this workload that others reach without the proxy.
    pub exclude_inbound_ports: Vec<u16>,
    /// Ports of others that are reached without the proxy.
    pub exclude_outbound_ports: Vec<u16>,
    /// Addresses of others that are reached without the proxy.
    pub exclude_outbound_cidrs: Vec<Cidr>,
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

impl std::str::FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Cidr, String> {
        let bad = || format!("`{text}` is no block of addresses: write one like 10.0.0.0/8");
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(most), str::parse).map_err(|_| bad())?;
        if most < length { Err(bad()) } else { Ok(Cidr { address, length }) }
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

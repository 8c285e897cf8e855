//! `taut proxy --capture`, as far as the proxy itself is not told of it, and `taut uncapture`.
//!
//! Owns: where captured connections come in, and the group by which the kernel knows what the proxy sends itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use taut_proxy::capture::{Capture, take_down};
use taut_proxy::{Bind, Role};

use crate::args::CaptureArgs;
use crate::failure::Failure;

/// What is captured.
pub(super) fn wanted(args: &CaptureArgs) -> Option<Capture> {
    args.capture.then(|| Capture {
        outbound_port: Some(args.outbound_capture_port),
        inbound_port: Some(args.inbound_capture_port),
        proxy_gid: args.proxy_gid,
        exclude_uids: args.exclude_uids.clone(),
        exclude_inbound_ports: args.exclude_inbound_ports.clone(),
        exclude_outbound_ports: args.exclude_outbound_ports.clone(),
        exclude_outbound_cidrs: args.exclude_outbound_cidrs.clone(),
    })
}

/// Where captured connections come in: of the application on this machine's own address, of others on every one.
pub(super) fn binds(args: &CaptureArgs) -> Vec<Bind> {
    let bind = |role: Role, ip: IpAddr, port: u16| Bind { role, address: SocketAddr::new(ip, port) };
    let (out, inward) = (args.outbound_capture_port, args.inbound_capture_port);
    let mut binds = vec![
        bind(Role::OutboundCaptured, Ipv4Addr::LOCALHOST.into(), out),
        bind(Role::InboundCaptured, Ipv4Addr::UNSPECIFIED.into(), inward),
    ];
    if has_ipv6() {
        binds.push(bind(Role::OutboundCaptured, Ipv6Addr::LOCALHOST.into(), out));
        binds.push(bind(Role::InboundCaptured, Ipv6Addr::UNSPECIFIED.into(), inward));
    }
    if args.capture { binds } else { Vec::new() }
}

/// Whether this network namespace has any address of the newer family.
fn has_ipv6() -> bool {
    std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|text| !text.trim().is_empty())
}

/// Runs this process again in the group that is left alone, unless it is in it. A group rather than a mark of each socket:
/// whatever the process sends has it, name look-ups and whatever libraries open included.
pub(super) fn join_group(args: &CaptureArgs) -> Result<(), Failure> {
    if !args.capture || own_group() == Some(args.proxy_gid) {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let error = Command::new(program).args(std::env::args_os().skip(1)).gid(args.proxy_gid).exec();
    Err(Failure(format!(
        "cannot run in the group {}, by which the kernel knows what the proxy sends itself: {error}; `--capture` needs \
         root, or CAP_NET_ADMIN and to be started in that group",
        args.proxy_gid
    )))
}

fn own_group() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Gid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// `taut uncapture`.
pub(super) fn undo() -> Result<ExitCode, Failure> {
    take_down()?;
    Ok(ExitCode::SUCCESS)
}

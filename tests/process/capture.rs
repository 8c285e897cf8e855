//! `taut proxy --capture` in a network namespace of its own: what it puts up it takes down, and what a crash leaves is
//! taken down by `taut uncapture`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use harness::{Run, serving, taut, taut_with_input};

/// Set in the process that has a network of its own.
const INSIDE: &str = "TAUT_TEST_HAS_A_NETWORK_OF_ITS_OWN";

/// The group of the application, which the proxy is not in.
const APPLICATION_GID: u32 = 4_242;

fn run(arguments: &[&str]) -> Run {
    taut_with_input(arguments, b"")
}

fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether this is the process with a network of its own; runs it, if it can be had.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let skip = |why: &str| writeln!(std::io::stderr(), "skipped: capture is not tested, {why}").expect("it is said");
    if !works("unshare", &["-n", "ip", "link", "set", "lo", "up"]) {
        skip("which needs root, `unshare` and `ip`: a network namespace is made");
        return false;
    }
    if !works("unshare", &["-n", "nft", "list", "tables"]) || !works("curl", &["--version"]) {
        skip("for which `nft` and `curl` are needed");
        return false;
    }
    let _ = taut(); // it is built outside
    let own = std::env::current_exe().expect("a test has a program");
    let mut run = Command::new("unshare");
    run.args(["-n", "--"]).arg(own).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let run = run.output().expect("it runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(run.status.success(), "{}\n{}", said(&run.stdout), said(&run.stderr));
    false
}

/// The names of tables that there are.
fn tables() -> String {
    let listed = Command::new("nft").args(["list", "tables"]).output().expect("it runs");
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

/// A proxy that has said that it listens.
fn capturing(arguments: &[&str]) -> Child {
    let mut command = Command::new(taut());
    command.arg("proxy").args(arguments).args(["--capture", "--advertise", "10.9.0.1"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("it is piped")).read_line(&mut line).expect("it says something");
    assert!(line.contains("outbound captured on 127.0.0.1:15001"), "{line}");
    child
}

#[test]
fn what_a_proxy_puts_up_it_takes_down_and_a_crash_leaves_it_for_a_command() {
    if !inside("capture::what_a_proxy_puts_up_it_takes_down_and_a_crash_leaves_it_for_a_command") {
        return;
    }
    for command in [
        "link set lo up",
        "link add wire type veth peer name end",
        "addr add 10.9.0.1/24 dev wire",
        "link set wire up",
        "link set end up",
    ] {
        assert!(works("ip", &command.split(' ').collect::<Vec<_>>()), "{command}");
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::create_dir(path("ca")).expect("a folder can be made");
    let _ca = serving(&["ca", "serve", "--state", &path("ca"), "--listen", "127.0.0.1:0"]).expect("it starts");
    let token = run(&["ca", "token", "shop/orders", "--state", &path("ca")]).stdout.trim().to_owned();
    let (ca, state) = (format!("@{}", path("ca/address")), path("proxy"));
    let arguments = ["--workload", "shop/orders", "--ca", &ca, "--reconciler", "127.0.0.1:1", "--state", &state];

    for (signal, left) in [("-TERM", false), ("-KILL", true), ("-INT", false)] {
        let mut proxy = capturing(&[&arguments[..], &["--join-token", &token]].concat());
        assert!(tables().contains("taut"), "{}", tables());
        let asked = Command::new("curl")
            .args([
                "-s",
                "--noproxy",
                "*",
                "--max-time",
                "20",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "http://10.9.0.2:8080/",
            ])
            .gid(APPLICATION_GID)
            .output()
            .expect("it runs");
        assert_eq!(String::from_utf8_lossy(&asked.stdout), "503", "the proxy answers, which has no snapshot yet");
        assert!(works("kill", &[signal, &proxy.id().to_string()]));
        let ended = proxy.wait().expect("it ends");
        assert_eq!(ended.code(), if left { None } else { Some(0) }, "{signal}");
        assert_eq!(tables().contains("taut"), left, "{signal}: {}", tables());
    }
    let mut crashed = capturing(&arguments);
    assert!(works("kill", &["-KILL", &crashed.id().to_string()]) && crashed.wait().is_ok());
    assert!(tables().contains("taut"));
    for _ in 0..2 {
        let undone = run(&["uncapture"]);
        assert_eq!((undone.status, tables().contains("taut")), (0, false), "{undone:?}");
    }
}

#[test]
fn without_the_right_to_capture_it_says_what_is_needed() {
    const NOBODY: u32 = 65_534;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(taut());
        command.args(arguments).stdin(Stdio::null());
        if works("unshare", &["-n", "true"]) {
            command.gid(NOBODY).uid(NOBODY); // whoever may make a network namespace has every right here
        }
        command.output()
    };
    let words =
        ["proxy", "--workload", "shop/orders", "--ca", "127.0.0.1:1", "--reconciler", "127.0.0.1:1", "--capture"];
    let Ok(run) = command(&words) else { return }; // nobody may not even run it
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.code() == Some(2) && said.contains("CAP_NET_ADMIN"), "{said}");
}

//! Capture, in network namespaces that the test makes: this machine, and another one at the end of a wire.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use taut_proxy::capture::{Capture, put_up, take_down};
use taut_proxy::{Bind, ProxyConfig, Role};

use crate::fixture::{Issuer, Running, config};
use crate::mesh::SHOP;
use crate::server::App;

/// Set in the process that has a network of its own.
const INSIDE: &str = "TAUT_TEST_HAS_A_NETWORK_OF_ITS_OWN";

/// The group of the application, which the proxy is not in.
const APPLICATION_GID: u32 = 4_242;

/// Every tool that a test runs, but those that put rules up.
const TOOLS: [&str; 6] = ["ip", "curl", "nsenter", "unshare", "sleep", "mount"];
const NFT: &[&str] = &["nft"];
const IPTABLES: &[&str] = &["iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"];

/// A word of what the system says of this process, such as `Gid`.
fn own(word: &str) -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(":\t")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub(crate) fn skipped(why: &str) {
    // Not by `eprintln`, which is shown of tests that fail alone.
    let said = writeln!(std::io::stderr(), "skipped: {why}");
    said.unwrap();
}

/// Runs a test again in a network and with mounts of its own, where it finds these tools and no others. True in there.
pub(crate) fn inside(test: &str, rules: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if own("Uid") != 0 {
        skipped("a test in a network of its own, which needs root: a network namespace is made");
        return false;
    }
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let folder = tempfile::tempdir().unwrap();
    for tool in TOOLS.iter().chain(rules) {
        let Some(found) = std::env::split_paths(&path).map(|it| it.join(tool)).find(|it| it.is_file()) else {
            skipped(&format!("a test in a network of its own, for which `{tool}` is not installed"));
            return false;
        };
        symlink(found, folder.path().join(tool)).unwrap();
    }
    let unshare = folder.path().join("unshare");
    let made = Command::new(&unshare).args(["-n", "-m", "sleep", "0"]).env("PATH", folder.path()).output().unwrap();
    if !made.status.success() {
        skipped("a test in a network of its own, since this machine lets nobody make a network namespace");
        return false;
    }
    let run = Command::new(unshare)
        .args(["-n", "-m", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("PATH", folder.path())
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(run.status.success(), "{}\n{}", said(&run.stdout), said(&run.stderr));
    false
}

pub(crate) fn run(tool: &str, arguments: &str) {
    let done = Command::new(tool).args(arguments.split_whitespace()).output().unwrap();
    assert!(done.status.success(), "{tool} {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Another machine at the end of a wire: it is 10.77.0.2 and fd77::2, this one 10.77.0.1 and fd77::1.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Other {
    fn connected() -> Other {
        let holder = Command::new("unshare").args(["-n", "sleep", "600"]).stdin(Stdio::null()).spawn().unwrap();
        let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        while network(&holder.id().to_string()) == network("self") {
            std::thread::yield_now();
        }
        let other = Other(holder);
        run("ip", "link set lo up");
        run("ip", "link add taut0 type veth peer name taut1");
        run("ip", &format!("link set taut1 netns {}", other.0.id()));
        run("ip", "addr add 10.77.0.1/24 dev taut0");
        run("ip", "addr add fd77::1/64 dev taut0 nodad");
        run("ip", "link set taut0 up");
        other.run("ip link set lo up");
        other.run("ip addr add 10.77.0.2/24 dev taut1");
        other.run("ip addr add fd77::2/64 dev taut1 nodad");
        other.run("ip link set taut1 up");
        other
    }

    fn run(&self, command: &str) {
        run("nsenter", &format!("-t {} -n {command}", self.0.id()));
    }

    /// What the other machine gets for a URL of this one.
    fn asks(&self, url: &str) -> Option<String> {
        let pid = self.0.id().to_string();
        said(Command::new("nsenter").args(["-t", &pid, "-n", "curl"]).args(CURL).arg(url))
    }

    /// The same, with a word that the server of this machine is to get.
    fn is_asked(&self, url: &str, gid: u32, host: &str) -> Option<String> {
        said(Command::new("curl").args(CURL).args(["-H", &format!("host: {host}"), url]).gid(gid))
    }

    /// An application of the other machine, which says that it is there; it ends with the test.
    fn serves(&self, address: &str) -> Serving {
        let pid = self.0.id().to_string();
        let child = Command::new("nsenter")
            .args(["-t", &pid, "-n"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "capturing::an_application_of_another_machine", "--nocapture"])
            .env("TAUT_TEST_SERVES", address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let serving = Serving(child);
        // Once it listens, it answers.
        while said(
            Command::new("nsenter").args(["-t", &pid, "-n", "curl"]).args(CURL).arg(format!("http://{address}/")),
        )
        .is_none()
        {
            std::thread::yield_now();
        }
        serving
    }
}

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CURL: [&str; 6] = ["-s", "-S", "--noproxy", "*", "--max-time", "20"];

/// What a request gets, with its status; none if there is no answer.
fn said(command: &mut Command) -> Option<String> {
    let done = tokio::task::block_in_place(|| command.args(["-w", "\nstatus %{http_code}"]).output()).unwrap();
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_another_machine() {
    let Ok(address) = std::env::var("TAUT_TEST_SERVES") else { return };
    let _app = App::start_at("elsewhere", &address).await;
    std::future::pending::<()>().await;
}

fn capture() -> Capture {
    Capture {
        outbound_port: Some(15001),
        inbound_port: Some(15006),
        proxy_gid: own("Gid"),
        exclude_uids: vec![],
        exclude_inbound_ports: vec![],
        exclude_outbound_ports: vec![],
        exclude_outbound_cidrs: vec![],
    }
}

/// A sidecar of `frontend` that takes whatever is captured.
fn sidecar() -> Running {
    let binds = [
        (Role::OutboundCaptured, "127.0.0.1:15001"),
        (Role::OutboundCaptured, "[::1]:15001"),
        (Role::InboundCaptured, "0.0.0.0:15006"),
        (Role::InboundCaptured, "[::]:15006"),
    ];
    let binds = binds.map(|(role, address)| Bind { role, address: address.parse().unwrap() }).into();
    let advertise = Some("10.77.0.1".parse().unwrap());
    let config = ProxyConfig { binds, advertise, ..config("frontend", &[]) };
    Running::start_with(config, Issuer::new().identity("frontend"))
}

const ORDERS: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders]
  http: [{directResponse: {status: 299, body: {string: decided}}}]
";

const STRICT: &str = "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {selector: {matchLabels: {app: frontend}}, mtls: {mode: STRICT}}
";

/// What holds whichever tool puts the rules up.
async fn is_captured_and_given_back() {
    let other = Other::connected();
    let proxy = sidecar();
    proxy.activate_mesh(&format!("{SHOP}{ORDERS}"));
    // They listen to this machine alone, so that others reach them only if somebody carries it there.
    let _app = App::start_at("app", "127.0.0.1:8080").await;
    let _unknown = [App::start_at("unknown", "0.0.0.0:7777").await, App::start_at("hidden", "127.0.0.1:7778").await];
    let _open = App::start_at("open", "0.0.0.0:8081").await;
    let _elsewhere = [other.serves("10.77.0.2:9000"), other.serves("[fd77::2]:9000")];
    let by_orders = |url: &str, gid: u32| other.is_asked(url, gid, "orders:8080");

    assert_eq!(other.asks("http://10.77.0.1:8080/"), None, "nothing is captured yet");
    put_up(&capture()).unwrap();
    put_up(&capture()).unwrap(); // again is the same as once
    for url in ["http://10.77.0.1:8080/", "http://[fd77::1]:8080/"] {
        let answer = other.asks(url).expect("the application is reached over the proxy");
        assert!(answer.starts_with("app\n") && answer.contains("x-request-id: "), "{url}: {answer}");
    }
    let answer = other.asks("http://10.77.0.1:7777/").expect("a port that no service leads to passes");
    assert!(answer.starts_with("unknown\n") && !answer.contains("x-request-id"), "{answer}");
    assert_eq!(other.asks("http://10.77.0.1:7778/"), None, "but not to what listens to this machine alone");
    let admin = format!("http://10.77.0.1:{}/metrics", proxy.admin().port());
    assert_eq!(other.asks(&admin), None, "such as the proxy's own pages");
    assert_eq!(other.asks("http://10.77.0.1:15006/"), None, "nobody comes in by the proxy's own port");

    for url in ["http://10.77.0.2:8080/", "http://[fd77::2]:8080/"] {
        let answer = by_orders(url, APPLICATION_GID).expect("the proxy answers");
        assert_eq!(answer, "decided\nstatus 299", "{url}");
        assert_eq!(by_orders(url, own("Gid")), None, "what is in the proxy's group is left alone, and nobody is there");
    }
    for url in ["http://10.77.0.2:9000/", "http://[fd77::2]:9000/"] {
        let answer = other.is_asked(url, APPLICATION_GID, "unknown.example").expect("what nobody knows passes");
        assert!(answer.starts_with("elsewhere\n"), "{url}: {answer}");
    }
    let metrics = crate::client::get(proxy.admin(), "admin", "/metrics").await.body;
    assert!(metrics.contains("destination_service_name=\"PassthroughCluster\""), "{metrics}");
    let own_port = by_orders("http://127.0.0.1:8080/", APPLICATION_GID).expect("this machine's own are left alone");
    assert!(own_port.starts_with("app\n") && !own_port.contains("x-request-id"), "{own_port}");

    let left_alone = Capture {
        exclude_inbound_ports: vec![8081],
        exclude_outbound_ports: vec![9000],
        exclude_outbound_cidrs: vec!["fd77::2".parse().unwrap()],
        ..capture()
    };
    let through = other.asks("http://10.77.0.1:8081/").unwrap();
    put_up(&left_alone).unwrap();
    proxy.activate_mesh(&format!("{SHOP}{ORDERS}---\n{STRICT}"));
    assert!(through.starts_with("open\n"), "{through}");
    assert!(other.asks("http://10.77.0.1:8081/").is_some(), "an excluded port is reached whatever the mesh says");
    assert_eq!(other.asks("http://10.77.0.1:8080/"), None, "and any other as it says");
    assert_eq!(other.asks("http://10.77.0.1:7777/"), None, "known or not");
    assert_eq!(by_orders("http://[fd77::2]:8080/", APPLICATION_GID), None, "an excluded address is dialled itself");
    assert!(by_orders("http://10.77.0.2:8080/", APPLICATION_GID).is_some(), "and any other is not");
    let excluded = other.is_asked("http://10.77.0.2:9000/", APPLICATION_GID, "orders:8080").unwrap();
    assert!(excluded.starts_with("elsewhere\n"), "an excluded port as well: {excluded}");

    take_down().unwrap();
    assert_eq!(other.asks("http://10.77.0.1:8080/"), None, "nobody carries it to the application now");
    assert_eq!(by_orders("http://10.77.0.2:8080/", APPLICATION_GID), None);
    take_down().unwrap(); // nothing is there, and that is no error
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_captured_both_ways_and_given_back() {
    if inside("capturing::connections_are_captured_both_ways_and_given_back", NFT) {
        is_captured_and_given_back().await;
        let tables = Command::new("nft").args(["list", "tables"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&tables.stdout).contains("taut"), "nothing is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_are_where_only_the_older_tool_is() {
    if inside("capturing::so_they_are_where_only_the_older_tool_is", IPTABLES) {
        is_captured_and_given_back().await;
        let rules = Command::new("iptables-save").args(["-t", "nat"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&rules.stdout).contains("TAUT"), "nothing is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tool_it_says_which_one_it_needs() {
    if inside("capturing::without_a_tool_it_says_which_one_it_needs", &[]) {
        let why = put_up(&capture()).unwrap_err().to_string();
        assert!(why.contains("install nftables"), "{why}");
        assert!(take_down().is_err());
    }
}

#[test]
fn without_the_right_to_it_says_what_it_needs() {
    if own("Uid") != 0 {
        let why = put_up(&capture()).unwrap_err().to_string();
        assert!(why.contains("CAP_NET_ADMIN") || why.contains("install nftables"), "{why}");
        return;
    }
    const NOBODY: u32 = 65_534;
    let own_name = "capturing::without_the_right_to_it_says_what_it_needs";
    let again =
        Command::new(std::env::current_exe().unwrap()).args(["--exact", own_name]).gid(NOBODY).uid(NOBODY).output();
    match again {
        Ok(run) => assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout)),
        Err(error) => skipped(&format!("a test in a network of its own by nobody, who cannot run the test: {error}")),
    }
}

//! What is wrong outside of the mesh: one paragraph that says what to do, exit status 2, and nothing lost.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::{Run, Serving, commit, git, repository, root, serving, taut, taut_with_input};
use tempfile::TempDir;

fn run(arguments: &[&str]) -> Run {
    taut_with_input(arguments, b"")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// One paragraph on standard error, with these words, and exit status 2.
#[track_caller]
fn refused(run: &Run, words: &[&str]) {
    assert_eq!(run.status, 2, "{run:?}");
    let said: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("taut: ")).collect();
    assert_eq!(said.len(), 1, "one paragraph: {}", run.stderr);
    for word in words {
        assert!(said[0].contains(word), "`{word}` is not in: {}", said[0]);
    }
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
}

/// A folder with an authority that runs.
struct Authority {
    folder: TempDir,
    _serving: Serving,
}

impl Authority {
    fn start() -> Authority {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let state = text(&folder.path().join("ca"));
        fs::create_dir(&state).expect("a folder can be made");
        let serving = serving(&["ca", "serve", "--state", &state, "--listen", "127.0.0.1:0"]).expect("it starts");
        Authority { folder, _serving: serving }
    }

    fn path(&self, name: &str) -> String {
        text(&self.folder.path().join(name))
    }

    fn address(&self) -> String {
        format!("@{}", self.path("ca/address"))
    }

    fn token(&self, identity: &str) -> String {
        let made = run(&["ca", "token", identity, "--state", &self.path("ca")]);
        assert_eq!(made.status, 0, "{made:?}");
        made.stdout.trim().to_owned()
    }

    fn reconcile(&self, repository: &str, state: &str, more: &[&str]) -> Result<Serving, Run> {
        let (address, token) = (self.address(), self.token("reconciler"));
        let mut arguments = vec!["reconcile", "--repo", repository, "--state", state, "--listen", "127.0.0.1:0"];
        arguments.extend(["--ca", &address, "--join-token", &token]);
        arguments.extend(more);
        serving(&arguments)
    }
}

const MESH: &[u8] = b"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";

#[test]
fn a_path_that_is_no_repository() {
    let (authority, folder) = (Authority::start(), tempfile::tempdir().unwrap());
    let state = authority.path("reconciler");
    let run = authority.reconcile(&text(folder.path()), &state, &[]).unwrap_err();
    refused(&run, &["git repository", &text(folder.path())]);
}

#[test]
fn a_branch_that_does_not_exist() {
    let authority = Authority::start();
    let folder = authority.folder.path().join("mesh");
    repository(&folder, &[("mesh.yaml", MESH)]);
    let run = authority.reconcile(&text(&folder), &authority.path("reconciler"), &["--branch", "prod"]).unwrap_err();
    refused(&run, &["prod", "main"]);
}

#[test]
fn an_empty_repository() {
    let authority = Authority::start();
    let folder = authority.folder.path().join("mesh");
    fs::create_dir(&folder).unwrap();
    git(&folder, &["init", "--quiet", "--initial-branch=main"]);
    let run = authority.reconcile(&text(&folder), &authority.path("reconciler"), &[]).unwrap_err();
    refused(&run, &["commit"]);
}

#[test]
fn a_file_that_is_not_yaml_or_not_utf8_is_a_problem_with_a_place_and_the_next_file_is_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let broken: [(&str, &[u8]); 3] =
        [("a.yaml", b"kind: [never closed\n"), ("b.yaml", b"kind: \xff\xfe\n"), ("c.yaml", MESH)];
    for (name, bytes) in broken {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let output = folder.path().join("out.snap");
    let run = run(&["compile", &text(folder.path()), "-o", &text(&output), "--format", "json"]);
    assert_eq!(run.status, 1, "a problem in the mesh: {run:?}");
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    for file in ["a.yaml", "b.yaml"] {
        let found = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["file"].as_str().unwrap().ends_with(file))
            .unwrap();
        assert_eq!(found["stage"], "yaml");
        assert_ne!(found["help"], "", "it says what to do");
    }
    assert_eq!(report["summary"]["resources"], 1, "the file that can be read was read");
    assert!(!output.exists(), "nothing half written");
}

#[test]
fn a_commit_that_is_not_yaml_moves_nothing_and_history_says_where() {
    let authority = Authority::start();
    let folder = authority.folder.path().join("mesh");
    let good = repository(&folder, &[("mesh.yaml", MESH)]);
    let state = authority.path("reconciler");
    let _serving = authority.reconcile(&text(&folder), &state, &["--poll", "1s"]).unwrap();
    assert_eq!(run(&["wait", "--commit", &good, "--state", &state]).status, 0);
    let bad = commit(&folder, &[("mesh.yaml", b"kind: [never closed\n")]);
    let waited = run(&["wait", "--commit", &bad, "--state", &state]);
    assert_eq!(waited.status, 1, "{waited:?}");
    assert!(waited.stdout.contains("mesh.yaml:"), "{waited:?}");
    let status: serde_json::Value =
        serde_json::from_str(&run(&["status", "--state", &state, "--format", "json"]).stdout).unwrap();
    assert_eq!(status["active"]["commit"], good.as_str());
}

#[test]
fn a_port_that_is_taken() {
    let (taken, folder) = (TcpListener::bind("127.0.0.1:0").unwrap(), tempfile::tempdir().unwrap());
    let address = taken.local_addr().unwrap().to_string();
    refused(&run(&["ca", "serve", "--state", &text(folder.path()), "--listen", &address]), &[&address, "another port"]);
    let authority = Authority::start();
    let token = authority.token("shop/orders");
    let state = authority.path("proxy");
    let (inbound, ca) = (format!("8080={address},127.0.0.1:1"), authority.address());
    let mut arguments = vec!["proxy", "--workload", "shop/orders", "--state", &state, "--reconciler", "127.0.0.1:1"];
    arguments.extend(["--ca", &ca, "--join-token", &token, "--inbound", &inbound, "--admin", "127.0.0.1:0"]);
    refused(&run(&arguments), &[&address]);
}

#[test]
fn a_state_directory_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    // Below a file nothing can be made, not even by root.
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let state = text(&file.join("state"));
    refused(&run(&["ca", "serve", "--state", &state, "--listen", "127.0.0.1:0"]), &[&state]);
    refused(&run(&["reconcile", "--repo", ".", "--state", &state, "--ca", "127.0.0.1:1"]), &[&state]);
    let mut proxy = vec!["proxy", "--workload", "shop/orders", "--state", &state, "--reconciler", "127.0.0.1:1"];
    proxy.extend(["--ca", "127.0.0.1:1"]);
    refused(&run(&proxy), &[&state]);
}

#[test]
fn a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, snapshot) = (folder.path().join("ca"), folder.path().join("out.snap"));
    fs::create_dir(&ca).unwrap();
    let mesh = root().join("golden/cases/demo/shop");
    let full = |arguments: &[&str]| {
        // No file may grow: every write fails as it would on a full disk.
        let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
        let output =
            Command::new("sh").args(["-c", script]).arg(taut()).args(arguments).stdin(Stdio::null()).output().unwrap();
        Run {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    };
    refused(&full(&["compile", &text(&mesh), "-o", &text(&snapshot)]), &["out.snap"]);
    assert!(!snapshot.exists(), "nothing half written");
    refused(&full(&["ca", "serve", "--state", &text(&ca), "--listen", "127.0.0.1:0"]), &["ca"]);
    refused(&full(&["reconcile", "--repo", ".", "--state", &text(&ca.join("r")), "--ca", "127.0.0.1:1"]), &["ledger"]);
    let again = serving(&["ca", "serve", "--state", &text(&ca), "--listen", "127.0.0.1:0"]).unwrap();
    assert!(again.first_line.contains("listens"), "with room again, it starts: nothing half written is in its way");
}

#[test]
fn a_join_token_that_was_used() {
    let authority = Authority::start();
    let (token, ca) = (authority.token("shop/orders"), authority.address());
    let start = |state: &str| {
        let state = authority.path(state);
        let mut arguments =
            vec!["proxy", "--workload", "shop/orders", "--state", &state, "--reconciler", "127.0.0.1:1"];
        arguments.extend([
            "--ca",
            &ca,
            "--join-token",
            &token,
            "--outbound",
            "8080=127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        serving(&arguments)
    };
    let first = start("one").unwrap();
    refused(&start("two").unwrap_err(), &["join token", "taut ca token"]);
    first.kill();
    start("one").expect("it has its identity, and needs the token no more");
}

#[test]
fn a_snapshot_with_a_flipped_byte() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.snap");
    let mesh = root().join("golden/cases/demo/shop");
    assert_eq!(run(&["compile", &text(&mesh), "-o", &text(&file)]).status, 0);
    let right = fs::read(&file).unwrap();
    for at in [0, 5, right.len() / 3, right.len() / 2, right.len() - 1] {
        let mut wrong = right.clone();
        wrong[at] ^= 0x10;
        fs::write(&file, &wrong).unwrap();
        refused(&run(&["inspect", &text(&file)]), &["shop.snap"]);
    }
}

#[test]
fn a_second_reconciler_on_one_state_directory() {
    let authority = Authority::start();
    let folder = authority.folder.path().join("mesh");
    let good = repository(&folder, &[("mesh.yaml", MESH)]);
    let state = authority.path("reconciler");
    let first = authority.reconcile(&text(&folder), &state, &[]).unwrap();
    let second = authority.reconcile(&text(&folder), &state, &[]).unwrap_err();
    refused(&second, &[&state, "another"]);
    assert_eq!(run(&["wait", "--commit", &good, "--state", &state]).status, 0, "the first one goes on");
    drop(first);
    authority.reconcile(&text(&folder), &state, &[]).expect("when the first is gone, the next one starts");
}

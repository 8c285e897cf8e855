//! What the command line prints: help, problems, results.

use harness::{root, taut_with_input};
use insta::{assert_snapshot, with_settings};

fn golden(name: &str, arguments: &[&str], input: &str) {
    let run = taut_with_input(arguments, input.as_bytes());
    let mut text = format!("$ taut {}\n", arguments.join(" "));
    if !input.is_empty() {
        text += &format!("{}\n", input.lines().map(|line| format!("< {line}\n")).collect::<String>().trim_end());
    }
    text += &run.stdout;
    if !run.stderr.is_empty() {
        text += &format!("--- standard error\n{}", run.stderr);
    }
    text += &format!("--- status {}\n", run.status);
    with_settings!({
        snapshot_path => root().join("golden/cli"), prepend_module_to_snapshot => false, omit_expression => true,
    }, {
        assert_snapshot!(name, text);
    });
}

#[test]
fn help_fits_a_screen_and_names_every_command() {
    golden("help", &["--help"], "");
    golden("help-check", &["check", "--help"], "");
    golden("help-compile", &["compile", "--help"], "");
}

#[test]
fn a_rule_is_explained_with_a_mesh_that_breaks_it_and_one_that_does_not() {
    golden("explain", &["explain", "IST0118"], "");
    golden("explain-unknown", &["explain", "IST9999"], "");
}

#[test]
fn a_problem_shows_the_line_both_places_and_what_to_type() {
    let mesh = "\
apiVersion: v1
kind: Service
metadata: {name: orders}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
  subsets:
  - name: v1
    labels: {version: v1}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  http:
  - route:
    - destination: {host: orders, subset: v3}
";
    golden("unknown-subset", &["check", "-"], mesh);
    golden("unknown-subset-json", &["check", "--format", "json", "-"], mesh);
}

/// A mesh with many things wrong.
const MANY: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders}
spec:
  hosts: [orders]
  htpp: []
  http:
  - timeout: 0s
    route:
    - destination: {host: odrers}
      weight: 5%
---
a: [
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: strict}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: raw}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: foreign}
";

#[test]
fn all_problems_are_reported_in_one_go() {
    golden("many-problems", &["check", "-"], MANY);
}

#[test]
fn every_reader_of_findings_gets_its_own_format() {
    for format in ["sarif", "junit", "github", "gitlab", "markdown"] {
        golden(&format!("check-{format}"), &["check", "--format", format, "-"], MANY);
    }
    let clean = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    for format in ["sarif", "junit", "github", "gitlab", "markdown"] {
        golden(&format!("check-clean-{format}"), &["check", "--format", format, "-"], clean);
    }
}

#[test]
fn the_severity_that_fails_a_run_is_for_its_caller_to_say() {
    let mesh = "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders}
spec:
  host: orders
";
    for severity in ["error", "warning", "info"] {
        golden(&format!("fail-on-{severity}"), &["check", "--fail-on", severity, "--format", "junit", "-"], mesh);
    }
}

#[test]
fn a_migration_goes_on_without_what_is_not_carried_and_says_so() {
    let mesh = "\
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: raw, namespace: shop}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: counter, namespace: shop}
spec: {url: oci://registry.example.com/counter:1}
";
    golden(
        "allow-unsupported",
        &["check", "--allow-unsupported", "EnvoyFilter", "--allow-unsupported", "WasmPlugin", "-"],
        mesh,
    );
    golden("allow-unsupported-carried", &["check", "--allow-unsupported", "VirtualService", "-"], mesh);
}

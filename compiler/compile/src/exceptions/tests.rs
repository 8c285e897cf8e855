//! What becomes of findings with exceptions from rules, and of the exceptions.

use taut_source::{SourceFile, SourceSet};

use super::read::day;
use super::*;
use crate::{Options, compile};

const DAY_S: i64 = 24 * 60 * 60;

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: web, port: 8080}]";

fn codes(mesh: &str, exceptions: &str, today: &str) -> Vec<String> {
    let files = vec![
        SourceFile::new("mesh/service.yaml", mesh.as_bytes()),
        SourceFile::new("mesh/taut.toml", exceptions.as_bytes()),
    ];
    let now_s = Some(day(today).expect("a day") * DAY_S);
    let compiled = compile(&SourceSet::new(files), &Options { now_s, ..Options::default() });
    compiled.problems.into_iter().map(|problem| problem.code.into_owned()).collect()
}

fn exception(code: &str, resource: &str) -> String {
    format!(
        "[[suppress]]\ncode = \"{code}\"\nresource = \"{resource}\"\nowner = \"team\"\nuntil = 2030-06-30\nreason = \"later\"\n"
    )
}

#[test]
fn a_finding_that_somebody_lives_with_is_not_reported() {
    assert_eq!(codes(SERVICE, "", "2030-01-01"), ["taut::service::unknown_protocol"]);
    for code in ["IST0118", "taut::service::unknown_protocol"] {
        for resource in ["Service shop/orders", "Service shop/*", "* */orders", "*"] {
            assert!(codes(SERVICE, &exception(code, resource), "2030-06-30").is_empty(), "{code} {resource}");
        }
    }
}

#[test]
fn an_exception_ends_with_its_last_day() {
    let found = codes(SERVICE, &exception("IST0118", "*"), "2030-07-01");
    assert_eq!(found, ["taut::service::unknown_protocol", "taut::exception::expired"]);
}

#[test]
fn an_exception_for_nothing_is_reported() {
    let found = codes(SERVICE, &exception("IST0118", "Service shop/other"), "2030-01-01");
    assert_eq!(found, ["taut::service::unknown_protocol", "taut::exception::unused"]);
}

#[test]
fn an_exception_that_nobody_answers_for_does_not_hold() {
    for broken in [
        "[[suppress]]\ncode = \"IST0118\"\nresource = \"*\"\nuntil = 2030-06-30\nreason = \"later\"",
        "[[suppress]]\ncode = \"IST0118\"\nresource = \"*\"\nowner = \"team\"\nuntil = \"soon\"\nreason = \"later\"",
        "[suppress]\ncode = \"IST0118\"",
        "suppress = 1",
        "[[suppress",
        "[[supress]]",
    ] {
        let found = codes(SERVICE, broken, "2030-01-01");
        assert_eq!(found[0], "taut::service::unknown_protocol", "{broken}");
        assert!(found[1..].iter().all(|code| code == "taut::exception::unreadable") && 1 < found.len(), "{broken}");
    }
}

#[test]
fn istios_annotation_holds_for_its_object() {
    let annotated = |codes: &str| {
        let annotations = format!("annotations: {{galley.istio.io/analyze-suppress: \"{codes}\"}}");
        SERVICE.replace("namespace: shop", &format!("namespace: shop, {annotations}"))
    };
    assert!(codes(&annotated("*"), "", "2030-01-01").is_empty());
    assert!(codes(&annotated("IST0107, IST0118"), "", "2030-01-01").is_empty());
    assert_eq!(codes(&annotated("IST0107"), "", "2030-01-01").len(), 1);
}

#[test]
fn days_are_counted_as_calendars_do() {
    assert_eq!(day("1970-01-01"), Some(0));
    assert_eq!(day("2000-03-01"), Some(11017));
    assert_eq!(day("2026-11-21"), Some(20778));
    assert_eq!(day("2024-02-29T12:00:00Z"), Some(19782));
    for bad in ["2023-02-29", "2024-13-01", "2024-1-1", "soon", ""] {
        assert_eq!(day(bad), None, "{bad}");
    }
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text, like) in [
        ("Service shop/*", "Service shop/orders", true),
        ("Service */orders", "Service shop/orders", true),
        ("* shop/o*s", "Service shop/orders", true),
        ("Service shop/orders", "Service shop/orders-2", false),
        ("Service shop/*-2", "Service shop/orders", false),
        ("", "Service shop/orders", false),
    ] {
        assert_eq!(is_like(pattern, text), like, "{pattern} {text}");
    }
}

//! Logs of requests that the mesh asks for: where they go, how lines are written, and which requests are in them.

use std::path::Path;

use serde_json::{Value, json};
use taut_delivery::Runner as _;
use taut_proxy::Role;

use crate::client::{get, get_with};
use crate::connections::{activate_with, entry};
use crate::fixture::*;
use crate::mesh::compiled_in;
use crate::server::App;

/// What is in a folder's logs, once some requests were made of a sidecar in a mesh that says this; `DIR` is the folder.
async fn logged(config: &str, telemetry: &str, requests: &[(&str, &[(&str, &str)])]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let at = |text: &str| text.replace("DIR", folder.path().to_str().unwrap());
    let app = App::start("v1").await;
    let proxy = Running::start("frontend", &[Role::Outbound { port: 9000 }], Issuer::new().identity("frontend"));
    let yaml = entry("orders", "10.1.0.1", "HTTP", &[(app.address, "a")]) + &at(telemetry);
    activate_with(&proxy, &at(config), &yaml, vec![]);
    for (path, headers) in requests {
        get_with(proxy.address(), "orders.example:9000", path, headers).await;
    }
    proxy.proxy.drain().await;
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let mut all: Vec<(String, String)> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().into_string().unwrap(), read(&file.path())))
        .collect();
    all.sort();
    all
}

fn telemetry(logging: &str) -> String {
    format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: logs, namespace: istio-system}}\nspec:\n  accessLogging:\n{logging}"
    )
}

/// Names of files, and what is in them.
type Files<'f> = &'f [(&'f str, &'f str)];

const OK: (&str, &[(&str, &str)]) = ("/a?b=c", &[("user-agent", "me \"x\""), ("x-request-id", "id-1")]);
const MISSING: (&str, &[(&str, &str)]) = ("/status/404", &[("x-who", "you")]);

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_mesh_has_istios_lines() {
    let all = logged("accessLogFile: DIR/log", "", &[OK]).await;
    let [(_, text)] = all.as_slice() else { panic!("{all:?}") };
    let (when, rest) = text.split_once("] ").unwrap();
    assert!(when.starts_with("[20") && when.ends_with('Z'), "{when}");
    assert!(rest.starts_with("\"GET /a?b=c HTTP/1.1\" 200 - via_upstream - \"-\" 0 "), "{rest}");
    let (_, rest) = rest.split_once(" \"-\" \"me").unwrap();
    assert!(rest.starts_with(" \\\"x\\\"\" \"id-1\" \"orders.example:9000\" \"127.0.0.1:"), "{rest}");
    assert!(rest.contains(" outbound|9000||orders.example 127.0.0.1:") && rest.ends_with(" - default\n"), "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_written_as_the_mesh_says() {
    let text = "accessLogFile: DIR/log\naccessLogFormat: '%REQ(:METHOD):2% %REQ(X-NONE?X-WHO)% %RESP(X-APP)% %RESP(X-NONE)% %BYTES_SENT% 100%%'";
    assert_eq!(logged(text, "", &[MISSING]).await, [("log".to_owned(), "GE you v1 - 0 100%\n".to_owned())]);
    let own = "accessLogFile: DIR/log\naccessLogEncoding: JSON\naccessLogFormat: '{\"status\": \"%RESPONSE_CODE%\", \"both\": \"%RESPONSE_CODE% %REQ(X-WHO)%\", \"none\": \"%REQ(X-NONE)%\"}'";
    let all = logged(own, "", &[MISSING]).await;
    let line: Value = serde_json::from_str(&all[0].1).unwrap();
    assert_eq!(line, json!({"status": 404, "both": "404 you", "none": null}));
    let all = logged("accessLogFile: DIR/log\naccessLogEncoding: JSON", "", &[OK]).await;
    let line: Value = serde_json::from_str(&all[0].1).unwrap();
    let keys: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((keys.len(), &line["method"], &line["user_agent"]), (24, &json!("GET"), &json!("me \"x\"")));
    assert_eq!((&line["response_code"], &line["requested_server_name"]), (&json!(200), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetries_say_who_logs_what() {
    let providers = "accessLogFile: DIR/mesh
extensionProviders:
- name: text
  envoyFileAccessLog: {path: DIR/text, logFormat: {text: '%RESPONSE_CODE%'}}
- name: json
  envoyFileAccessLog: {path: DIR/json, logFormat: {labels: {code: '%RESPONSE_CODE%'}}}
";
    let both = "  - providers: [{name: text}]\n  - providers: [{name: json}]\n    filter: {expression: 'response.code >= 400 && request.headers[\"x-who\"] == \"you\"'}\n";
    let table: [(&str, &str, Files<'_>); 7] = [
        ("", both, &[("json", "{\"code\":404}\n"), ("text", "200\n404\n")]),
        ("", "  - providers: [{name: text}]\n    match: {mode: SERVER}\n", &[("mesh", "2 lines")]),
        (
            "",
            "  - providers: [{name: text}]\n    match: {mode: CLIENT}\n    filter: {expression: '!(response.code in [200, 201])'}\n",
            &[("text", "404\n")],
        ),
        ("", "  - disabled: true\n", &[("mesh", "2 lines")]),
        ("defaultProviders: {accessLogging: [text]}", "  - disabled: true\n", &[]),
        (
            "defaultProviders: {accessLogging: [text]}",
            "  - filter: {expression: 'request.url_path == \"/a\"'}\n",
            &[("text", "200\n")],
        ),
        (
            "defaultProviders: {accessLogging: [text]}",
            // An object that says nothing of a side takes its default away.
            "  - match: {mode: SERVER}\n    disabled: true\n",
            &[("mesh", "2 lines")],
        ),
    ];
    for (more, logging, want) in table {
        let all = logged(&format!("{providers}{more}"), &telemetry(logging), &[OK, MISSING]).await;
        // A file is made when it is opened, so that an empty one says nothing.
        let all: Vec<(&str, String)> = all
            .iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| match name.as_str() {
                "mesh" => ("mesh", format!("{} lines", text.lines().count())),
                name => (name, text.clone()),
            })
            .collect();
        let want: Vec<(&str, String)> = want.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        assert_eq!(all, want, "{more} {logging}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_is_refused_before_anything_moves() {
    let proxy = Running::start("frontend", &[Role::Outbound { port: 9000 }], Issuer::new().identity("frontend"));
    activate_with(&proxy, "{}", "", vec![]);
    let pod =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: frontend, namespace: shop}\nspec: {containers: [{name: app}]}\n";
    let (snapshot, objects, _) = compiled_in("accessLogFile: /nowhere/at/all", pod);
    let refused = tokio::task::block_in_place(|| proxy.proxy.prepare(snapshot, &objects)).err().unwrap();
    assert!(refused.why.contains("the access log /nowhere/at/all cannot be written"), "{}", refused.why);
    assert_eq!(get(proxy.address(), "nobody", "/").await.status, 502, "what ran before goes on");
}

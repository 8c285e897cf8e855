//! Who asks, by the certificate that it shows: the same certificates for both proxies.

use serde_json::{Value, json};

use crate::compare::{Ask, Case, ask, case};
use crate::inbound::run_sealed;
use crate::policies::{policy, rbac};

const FRONTEND: &str = "cluster.local/ns/shop/sa/frontend";
const ROBOT: &str = "cluster.local/ns/other/sa/robot";
/// Of a namespace whose name begins as another's does.
const SHOPPING: &str = "cluster.local/ns/shopping/sa/frontend";

fn any() -> Value {
    json!({"any": true})
}

/// Who has shown a certificate like this.
fn shown(condition: Value) -> Value {
    json!({"authenticated": {"principal_name": condition}})
}

fn is(id: &str) -> Value {
    shown(json!({"exact": format!("spiffe://{id}")}))
}

fn like(pattern: &str) -> Value {
    shown(json!({"safe_regex": {"regex": pattern}}))
}

fn begins(id: &str) -> Value {
    shown(json!({"prefix": format!("spiffe://{id}")}))
}

fn not(id: Value) -> Value {
    json!({"not_id": id})
}

fn or(ids: &[Value]) -> Value {
    json!({"or_ids": {"ids": ids}})
}

fn and(ids: &[Value]) -> Value {
    json!({"and_ids": {"ids": ids}})
}

/// What becomes of the frontend, of the robot of another namespace, of the frontend of a third one, and of who shows nothing:
/// `+` for those that are let in.
fn four(pattern: &str) -> Vec<Ask> {
    let who = [Some(FRONTEND), Some(ROBOT), Some(SHOPPING), None];
    let asked = |(who, let_in): (Option<&'static str>, char)| {
        let ask = ask("GET /", if let_in == '+' { "200 app" } else { "403" });
        match who {
            Some(id) => ask.by(id),
            None => ask,
        }
    };
    who.into_iter().zip(pattern.chars()).map(asked).collect()
}

/// One policy of one rule about who asks.
fn one(name: &'static str, action: &str, rule: &str, by: Value, expected: &str) -> Case {
    let istio = policy("only", action, &format!("[{rule}]"));
    case(name, istio, vec![rbac(action, &[(any(), by)])], four(expected))
}

fn from(name: &'static str, action: &str, source: &str, by: Value, expected: &str) -> Case {
    one(name, action, &format!("{{from: [{{source: {{{source}}}}}]}}"), by, expected)
}

fn when(name: &'static str, action: &str, condition: &str, by: Value, expected: &str) -> Case {
    one(name, action, &format!("{{when: [{{{condition}}}]}}"), by, expected)
}

#[test]
fn who_is_let_in_by_its_certificate() {
    let of_shop = || like(".*/ns/shop/.*");
    let account = |namespace: &str, name: &str| like(&format!("spiffe://[^/]+/ns/{namespace}/sa/{name}"));
    let cases = [
        from("exact", "ALLOW", &format!("principals: [{FRONTEND}]"), is(FRONTEND), "+---"),
        from("one-of", "ALLOW", &format!("principals: [{ROBOT}, {FRONTEND}]"), or(&[is(ROBOT), is(FRONTEND)]), "++--"),
        from("begins", "ALLOW", "principals: ['cluster.local/ns/shop/*']", begins("cluster.local/ns/shop/"), "+---"),
        from(
            "begins-short",
            "ALLOW",
            "principals: ['cluster.local/ns/shop*']",
            begins("cluster.local/ns/shop"),
            "+-+-",
        ),
        from("ends", "ALLOW", "principals: ['*/sa/frontend']", like("spiffe://.*/sa/frontend"), "+-+-"),
        from("whoever-shows-one", "ALLOW", "principals: ['*']", like(".+"), "+++-"),
        from(
            "upper-case",
            "ALLOW",
            "principals: [cluster.local/ns/shop/sa/Frontend]",
            is("cluster.local/ns/shop/sa/Frontend"),
            "----",
        ),
        from(
            "with-scheme",
            "ALLOW",
            &format!("principals: ['spiffe://{FRONTEND}']"),
            is(&format!("spiffe://{FRONTEND}")),
            "----",
        ),
        from("not", "ALLOW", &format!("notPrincipals: [{FRONTEND}]"), not(is(FRONTEND)), "-+++"),
        from("deny-not", "DENY", &format!("notPrincipals: [{FRONTEND}]"), not(is(FRONTEND)), "+---"),
        from("deny", "DENY", &format!("principals: [{ROBOT}]"), is(ROBOT), "+-++"),
        from("deny-who-shows-none", "DENY", "notPrincipals: ['*']", not(like(".+")), "+++-"),
        from(
            "some-but-not",
            "ALLOW",
            &format!("principals: ['*/sa/frontend'], notPrincipals: [{SHOPPING}]"),
            and(&[like("spiffe://.*/sa/frontend"), not(is(SHOPPING))]),
            "+---",
        ),
        from("namespace", "ALLOW", "namespaces: [shop]", of_shop(), "+---"),
        from("namespace-begins", "ALLOW", "namespaces: ['shop*']", like(".*/ns/shop.*/.*"), "+-+-"),
        from("namespace-ends", "ALLOW", "namespaces: ['*er']", like(".*/ns/.*er/.*"), "-+--"),
        from("any-namespace", "ALLOW", "namespaces: ['*']", like(".*/ns/.*/.*"), "+++-"),
        from("not-namespace", "ALLOW", "notNamespaces: [shop]", not(of_shop()), "-+++"),
        from(
            "deny-not-namespace",
            "DENY",
            "notNamespaces: [shop, other]",
            not(or(&[of_shop(), like(".*/ns/other/.*")])),
            "++--",
        ),
        from(
            "namespace-and-principal",
            "ALLOW",
            "namespaces: [shop, shopping], principals: ['*/sa/robot', 'cluster.local/ns/shopping/*']",
            and(&[
                or(&[of_shop(), like(".*/ns/shopping/.*")]),
                or(&[like("spiffe://.*/sa/robot"), begins("cluster.local/ns/shopping/")]),
            ]),
            "--+-",
        ),
        from("account", "ALLOW", "serviceAccounts: [frontend]", account("shop", "frontend"), "+---"),
        from(
            "account-of",
            "ALLOW",
            "serviceAccounts: [other/robot, shopping/frontend]",
            or(&[account("other", "robot"), account("shopping", "frontend")]),
            "-++-",
        ),
        from("not-account", "DENY", "notServiceAccounts: [frontend]", not(account("shop", "frontend")), "+---"),
        when(
            "when-principal",
            "ALLOW",
            &format!("key: source.principal, values: [{FRONTEND}, '*/sa/robot']"),
            or(&[is(FRONTEND), like("spiffe://.*/sa/robot")]),
            "++--",
        ),
        when(
            "when-not-principal",
            "ALLOW",
            &format!("key: source.principal, notValues: [{FRONTEND}]"),
            not(is(FRONTEND)),
            "-+++",
        ),
        when("when-namespace", "ALLOW", "key: source.namespace, values: [other]", like(".*/ns/other/.*"), "-+--"),
        when(
            "when-not-namespace",
            "DENY",
            "key: source.namespace, notValues: [other]",
            not(like(".*/ns/other/.*")),
            "-+--",
        ),
        when(
            "when-account",
            "ALLOW",
            "key: source.serviceAccount, values: [other/robot]",
            account("other", "robot"),
            "-+--",
        ),
    ];
    run_sealed(&cases);
}

#[test]
fn an_application_is_told_who_asks() {
    let earlier = "By=spiffe://cluster.local/ns/a/sa/b;Hash=00;Subject=\"\";URI=spiffe://cluster.local/ns/c/sa/d";
    let frontend = || ask("GET /", "200 app").by(FRONTEND);
    let cases = [
        case("told", "", vec![], vec![frontend(), ask("GET /", "200 app").by(ROBOT)]),
        case("not-told", "", vec![], vec![ask("GET /", "200 app")]),
        case(
            "added",
            "",
            vec![],
            vec![
                frontend().with("x-forwarded-client-cert", earlier),
                frontend().with("x-forwarded-client-cert", "nonsense"),
                frontend().with("x-forwarded-client-cert", ""),
            ],
        ),
        case(
            "two-headers",
            "",
            vec![],
            vec![frontend().with("x-forwarded-client-cert", earlier).with("x-forwarded-client-cert", "URI=x")],
        ),
        case(
            "nobody-is-believed-without-one",
            "",
            vec![],
            vec![ask("GET /", "200 app").with("x-forwarded-client-cert", earlier)],
        ),
        case(
            "scheme",
            "",
            vec![],
            vec![frontend().with("x-forwarded-proto", "http"), frontend().with("x-forwarded-for", "10.1.2.3")],
        ),
    ];
    run_sealed(&cases);
}

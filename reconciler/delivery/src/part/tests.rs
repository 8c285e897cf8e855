//! A member gets its own part, all of it, and nothing else.

use taut_snapshot::object::Object;

use super::*;
use crate::simulation::mesh;

const WORKLOADS: [&str; 3] = ["shop/cart", "shop/orders", "bank/payments"];

fn kind(workload: &str) -> MemberKind {
    MemberKind::Proxy { workload: workload.to_owned() }
}

fn pool(part: &Part) -> std::collections::BTreeMap<Digest, Bytes> {
    part.objects.iter().cloned().collect()
}

#[test]
fn a_member_is_given_its_own_view_and_no_other() {
    let snapshot = mesh(&WORKLOADS, 1);
    let part = Part::of(&snapshot, &kind("shop/cart")).unwrap();
    let views: Vec<View> = part
        .objects
        .iter()
        .filter_map(|(name, _)| match snapshot.objects.read_any(*name).unwrap() {
            Object::View(view) => Some(view),
            Object::Authority(_) => panic!("a proxy is not told who else there is"),
            _ => None,
        })
        .collect();
    assert_eq!(views.len(), 1);
    assert_eq!(views[0].name, "cart");
    assert_eq!(part.sources.len(), 3, "a cluster for each service that it may call");
    let authority = Part::of(&snapshot, &MemberKind::Authority).unwrap();
    assert_eq!(authority.objects.len(), 2, "the root and the list of identities");
}

#[test]
fn only_the_workloads_own_identity_is_let_in() {
    let part = Part::of(&mesh(&WORKLOADS, 1), &kind("shop/cart")).unwrap();
    let ca = "spiffe://cluster.local/ns/taut-system/sa/ca";
    assert_eq!(part.admits("spiffe://cluster.local/ns/shop/sa/cart", ca), Ok(()));
    for peer in [
        "spiffe://cluster.local/ns/shop/sa/orders",
        "spiffe://cluster.local/ns/bank/sa/cart",
        "spiffe://elsewhere/ns/shop/sa/cart",
        "spiffe://cluster.local/ns/shop/sa/cart/",
        ca,
        "",
    ] {
        let why = part.admits(peer, ca).unwrap_err();
        let want =
            format!("`{peer}` may not be a proxy of shop/cart, which runs as `spiffe://cluster.local/ns/shop/sa/cart`");
        assert_eq!(why, want);
    }
    let authority = Part::of(&mesh(&WORKLOADS, 1), &MemberKind::Authority).unwrap();
    assert_eq!(authority.admits(ca, ca), Ok(()));
    let why = authority.admits("spiffe://cluster.local/ns/shop/sa/cart", ca).unwrap_err();
    assert!(why.contains("is not the certificate authority of this mesh"), "{why}");
}

#[test]
fn a_workload_that_git_does_not_know_has_no_part() {
    let error = Part::of(&mesh(&WORKLOADS, 1), &kind("shop/nobody")).unwrap_err();
    assert_eq!(error.to_string(), "the snapshot has no workload `shop/nobody`");
}

#[test]
fn a_part_is_put_together_from_what_is_at_hand() {
    let snapshot = mesh(&WORKLOADS, 1);
    for kind in [kind("shop/cart"), kind("bank/payments"), MemberKind::Authority] {
        let part = Part::of(&snapshot, &kind).unwrap();
        let pool = pool(&part);
        let Assembled::Whole(whole) = assemble(snapshot.id, &kind, |name| pool.get(&name).cloned()).unwrap() else {
            panic!("{kind} lacks nothing");
        };
        assert_eq!(whole.objects.len(), part.objects.len());
        assert_eq!(contents(whole.id, whole.objects.iter().map(|(name, _)| name)), part.contents);
        for missing in pool.keys() {
            let without = |name: Digest| pool.get(&name).filter(|_| name != *missing).cloned();
            assert_eq!(assemble(snapshot.id, &kind, without).unwrap(), Assembled::Lacks(vec![*missing]));
            // Other bytes under the same name are as good as none.
            let wrong = |name: Digest| if name == *missing { Some(Bytes::from_static(b"?")) } else { without(name) };
            assert_eq!(assemble(snapshot.id, &kind, wrong).unwrap(), Assembled::Lacks(vec![*missing]));
        }
    }
}

#[test]
fn objects_of_others_are_not_kept() {
    let snapshot = mesh(&WORKLOADS, 1);
    let all = |name| snapshot.objects.bytes(name).cloned();
    let Assembled::Whole(whole) = assemble(snapshot.id, &kind("shop/cart"), all).unwrap() else { panic!("whole") };
    let part = Part::of(&snapshot, &kind("shop/cart")).unwrap();
    assert!(whole.objects.len() < snapshot.objects.len());
    assert!(whole.objects.iter().map(|(name, _)| name).eq(part.objects.iter().map(|(name, _)| *name)));
}

#[test]
fn what_cannot_be_decoded_is_refused_by_name() {
    let rubbish: Bytes = b"\x01rubbish".as_slice().into();
    let root = Digest::of(&rubbish);
    let refused = assemble(root, &MemberKind::Authority, |_| Some(rubbish.clone())).unwrap_err();
    assert_eq!(refused.object, Some(root));
}

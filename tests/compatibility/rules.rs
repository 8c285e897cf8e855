//! Every rule has a mesh that breaks it and the same mesh mended: `taut explain CODE` shows them, and they are true.

use harness::compile_text;
use taut_source::Rule;

/// Rules whose bad input is no text that could be shown, or stands in a file of its own: each tested where it is made.
const DESCRIBED: &[&str] = &[
    "taut::exception::expired",
    "taut::exception::unreadable",
    "taut::exception::unused",
    "taut::mesh_wide::overridden",
    "taut::mesh_wide::unknown_registry",
    "taut::schema::second_opinion",
    "taut::schema::too_many",
    "taut::yaml::not_utf8",
    "taut::yaml::too_deep",
    "taut::yaml::too_large",
];

fn found(mesh: &str) -> Vec<String> {
    let (_, compiled) = compile_text(mesh);
    compiled.problems.into_iter().map(|problem| problem.code.into_owned()).collect()
}

#[test]
fn the_bad_mesh_of_every_rule_breaks_it_and_the_good_one_does_not() {
    let rules: Vec<&Rule> = taut_compile::rules();
    for rule in rules.iter().filter(|rule| !DESCRIBED.contains(&rule.code)) {
        let (bad, good) = (found(rule.bad), found(rule.good));
        assert!(bad.iter().any(|code| code == rule.code), "{}: its bad mesh gives {bad:?}", rule.code);
        assert!(!good.iter().any(|code| code == rule.code), "{}: its good mesh gives it too", rule.code);
    }
}

#[test]
fn codes_are_unique_and_named_alike() {
    let rules = taut_compile::rules();
    for pair in rules.windows(2) {
        assert!(pair[0].code < pair[1].code, "{} stands twice", pair[0].code);
    }
    for rule in rules {
        assert!(rule.code.starts_with("taut::") && rule.code.matches("::").count() == 2, "{}", rule.code);
        assert!(
            rule.finds.chars().next().is_some_and(char::is_lowercase) && !rule.finds.ends_with('.'),
            "{}",
            rule.code
        );
        assert!(rule.why.ends_with('.'), "{}", rule.code);
    }
}

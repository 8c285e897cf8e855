//! Whoever compiles one tree after another gets what a fresh compilation gives, whatever was edited: snapshot, source map,
//! endpoints, problems and counts, to the byte.

use harness::{Draws, generated_mesh, root, sources_of};
use taut_compile::{Compiled, Memo, Options, compile};
use taut_source::{SourceFile, SourceSet};

/// A mesh with everything that ties resources together: gateways, delegates, wildcards, entries, policies for a label, a
/// namespace and the mesh, other names of services, workloads that share labels, and namespaces that say who has a proxy.
const TIED: &str = include_str!("edits/tied.yaml");

/// What meshes have besides, each beside `TIED`: the Gateway API and Ingresses; Sidecars of a namespace and of workloads; one
/// for everybody; services that the mesh's settings lead to.
const BESIDES: [(&str, &str); 4] = [
    ("routes", include_str!("edits/routes.yaml")),
    ("sidecars", include_str!("edits/sidecars.yaml")),
    ("everybody", include_str!("edits/everybody.yaml")),
    ("asked", include_str!("edits/asked.yaml")),
];

/// The documents of a text, a file each.
fn documents(prefix: &str, text: &str) -> Vec<(String, String)> {
    let all = text.split("\n---\n").enumerate();
    all.map(|(at, document)| (format!("{prefix}/{at:03}.yaml"), format!("{document}\n"))).collect()
}

/// Services of which each sends a part of its requests on to the next one: what an edit has to do with ends somewhere.
fn chain(length: usize) -> Vec<(String, String)> {
    let link = |at: usize| {
        let (next, label) = ((at + 1) % length, at / 2);
        format!(
            "apiVersion: v1
kind: Service
metadata: {{name: s{at}, namespace: chain}}
spec: {{selector: {{app: s{at}}}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: s{at}, namespace: chain}}
spec: {{template: {{metadata: {{labels: {{app: s{at}, pair: p{label}, version: v1}}}}, spec: {{containers: [{{name: a}}]}}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: s{at}, namespace: chain}}
spec:
  hosts: [s{at}]
  http: [{{route: [{{destination: {{host: s{at}, subset: v1}}, weight: 80}}, {{destination: {{host: s{next}}}, weight: 20}}]}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: s{at}, namespace: chain}}
spec: {{host: s{at}, subsets: [{{name: v1, labels: {{version: v1}}}}]}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: s{at}, namespace: chain}}
spec: {{selector: {{matchLabels: {{pair: p{label}}}}}, rules: [{{to: [{{operation: {{paths: [/s{at}]}}}}]}}]}}
"
        )
    };
    (0..length).flat_map(|at| documents(&format!("chain/{at:02}"), &link(at))).collect()
}

fn sources(files: &[(String, String)]) -> SourceSet {
    SourceSet::new(files.iter().map(|(name, text)| SourceFile::new(name, text.as_bytes())).collect())
}

/// Words of a mesh: what an edit puts in the place of another.
fn words(files: &[(String, String)]) -> Vec<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-./*_".contains(letter);
    let text = files.iter().map(|(_, text)| text.as_str());
    let mut words: Vec<String> = text
        .flat_map(|text| text.split(|letter| !is_part(letter)))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    words.sort();
    words.dedup();
    words
}

/// One edit of one file, or of which files there are.
fn edit(files: &mut Vec<(String, String)>, original: &[(String, String)], words: &[String], draws: &mut Draws) {
    let at = draws.below(files.len());
    let kind = draws.below(16);
    let text = &mut files[at].1;
    match kind {
        0 => text.insert_str(0, "# A line more.\n"),
        1 => {
            let lines: Vec<&str> = text.lines().collect();
            let line = draws.below(lines.len());
            let kept = lines.iter().enumerate().filter(|(number, _)| *number != line);
            *text = kept.map(|(_, line)| format!("{line}\n")).collect();
        }
        2 => {
            let removed = files.remove(at);
            if files.is_empty() {
                files.push(removed);
            }
        }
        3 => files.push(original[draws.below(original.len())].clone()),
        4..=6 => {
            if let Some((_, first)) = original.iter().find(|(name, _)| *name == files[at].0) {
                files[at].1.clone_from(first);
            }
        }
        _ => {
            let of_text = self::words(&files[at..=at]);
            if of_text.is_empty() {
                return;
            }
            let (from, to) = (draws.pick(&of_text).clone(), draws.pick(words));
            let text = &mut files[at].1;
            let places: Vec<usize> = text.match_indices(&from).map(|(at, _)| at).collect();
            let place = *draws.pick(&places);
            text.replace_range(place..place + from.len(), to);
        }
    }
    files.sort();
    files.dedup_by(|later, kept| later.0 == kept.0);
}

fn same(memo: &Compiled, fresh: &Compiled, edited: &str) {
    assert_eq!(memo.problems, fresh.problems, "the problems {edited}");
    assert_eq!(memo.counts, fresh.counts, "the counts {edited}");
    assert_eq!(memo.endpoints, fresh.endpoints, "the endpoints {edited}");
    assert_eq!(memo.source_map, fresh.source_map, "the source map {edited}");
    let id = |compiled: &Compiled| compiled.snapshot.as_ref().map(|snapshot| snapshot.id);
    assert_eq!(id(memo), id(fresh), "the snapshot {edited}");
    assert!(memo.snapshot == fresh.snapshot, "the objects {edited}");
}

/// Edits a mesh again and again; how many of the edits were looked at by themselves.
fn edited(original: &[(String, String)], seed: u64, edits: usize) -> u64 {
    edited_unless(original, seed, edits, false)
}

fn edited_unless(original: &[(String, String)], seed: u64, edits: usize, may_be_broken: bool) -> u64 {
    let words = words(original);
    let mut draws = Draws::new(seed);
    let mut files = original.to_vec();
    let whole = compile(&sources(&files), &Options::default());
    assert!(whole.snapshot.is_some() || may_be_broken, "nothing would be edited: {:#?}", whole.problems);
    let mut memo = Memo::new(Options::default());
    for number in 0..edits {
        let sources = sources(&files);
        let fresh = compile(&sources, &Options::default());
        let compiled = memo.compile(&sources);
        same(compiled, &fresh, &format!("after edit {number} of seed {seed}"));
        if let Some(snapshot) = &compiled.snapshot {
            assert_eq!(snapshot.verify(), Ok(()), "after edit {number} of seed {seed}");
        }
        // Most of what a mutant is refused for would be there for the rest of the run.
        if fresh.snapshot.is_none() {
            files = original.to_vec();
        } else {
            edit(&mut files, original, &words, &mut draws);
        }
    }
    memo.by_difference()
}

/// How many edits each mesh gets; `TAUT_EDITS` makes it more.
fn rounds(otherwise: usize) -> usize {
    std::env::var("TAUT_EDITS").ok().and_then(|edits| edits.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn after_any_edits_the_result_is_a_fresh_one() {
    let many = rounds(150);
    let tied = documents("tied", TIED);
    let mut alone = 0;
    for seed in 0..4 {
        alone += edited(&tied, seed, many);
    }
    let generated: Vec<(String, String)> =
        generated_mesh(12).into_iter().flat_map(|(name, text)| documents(&name, &text)).collect();
    alone += edited(&generated, 4, many);
    alone += edited(&chain(24), 6, many);
    let both: Vec<(String, String)> = tied.iter().chain(&generated).cloned().collect();
    alone += edited(&both, 5, many);
    assert!(u64::try_from(many).unwrap() < alone, "only {alone} of {} edits were looked at by themselves", 7 * many);
}

/// The tied mesh with some of what meshes have besides.
fn beside(names: &[&str]) -> Vec<(String, String)> {
    let besides = BESIDES.iter().filter(|(name, _)| names.contains(name));
    documents("tied", TIED).into_iter().chain(besides.flat_map(|(name, text)| documents(name, text))).collect()
}

#[test]
fn gateways_sidecars_and_services_that_everybody_asks_are_no_exception() {
    let many = rounds(60);
    let together = [
        vec!["routes"],
        vec!["sidecars"],
        vec!["everybody"],
        vec!["asked"],
        vec!["sidecars", "everybody"],
        vec!["routes", "sidecars", "asked"],
    ];
    for (seed, names) in (10..).zip(together) {
        let files = beside(&names);
        let alone = edited(&files, seed, many) + edited(&files, seed + 100, many);
        assert!(u64::try_from(many / 6).unwrap() < alone, "{names:?}: only {alone} of {} edits", 2 * many);
    }
    let routes: Vec<(String, String)> = beside(&["routes", "everybody"]).into_iter().chain(chain(12)).collect();
    edited(&routes, 20, many);
}

#[test]
fn a_comment_that_is_cut_in_two_moves_the_lines_below_it_and_nothing_else() {
    let mut files = chain(4);
    files.iter_mut().for_each(|(_, text)| text.insert_str(0, "# a #b\n"));
    let mut memo = Memo::new(Options::default());
    memo.compile(&sources(&files));
    for at in 0..files.len() {
        files[at].1 = files[at].1.replace("# a #b", "# a\n#b");
        let now = sources(&files);
        same(memo.compile(&now), &compile(&now, &Options::default()), &files[at].0);
    }
    assert_eq!(memo.by_difference(), files.len() as u64);
}

#[test]
fn what_is_wrong_comes_and_goes_with_the_edit() {
    for (number, rule) in (0..).zip(taut_compile::rules()) {
        for text in [rule.good, rule.bad] {
            edited_unless(&documents("mesh", text), number, rounds(200) / 50, true);
        }
    }
}

#[test]
fn meshes_that_people_write_are_no_exception() {
    for case in ["demo/shop", "edge"] {
        let folder = root().join("golden/cases").join(case);
        let files: Vec<(String, String)> = sources_of(&folder)
            .files()
            .iter()
            .map(|file| (file.name.to_string(), String::from_utf8_lossy(&file.bytes).into_owned()))
            .collect();
        edited(&files, 1, rounds(40));
    }
}

#[test]
fn an_edit_in_a_large_mesh_is_looked_at_by_itself() {
    let mut files = generated_mesh(300);
    let mut memo = Memo::new(Options::default());
    memo.compile(&sources(&files));
    for (number, timeout) in (1..).zip(["7s", "5s", "9s"]) {
        let text = &files[77].1;
        let from = text.find("timeout: ").expect("it has one") + 9;
        let mut text = text.clone();
        text.replace_range(from..from + 2, timeout);
        files[77].1 = text;
        let compiled = memo.compile(&sources(&files)).clone();
        assert_eq!(memo.by_difference(), number);
        same(&compiled, &compile(&sources(&files), &Options::default()), timeout);
    }
}

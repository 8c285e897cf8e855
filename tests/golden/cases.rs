//! `golden/cases/AREA/CASE/`: a mesh, its problems and its snapshot.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use harness::{compile_folder, problems_text, root, tracked_files};
use insta::{assert_snapshot, with_settings};
use taut_snapshot::describe;

/// Every folder with a `mesh.yaml`.
fn cases() -> Vec<PathBuf> {
    let meshes =
        tracked_files().into_iter().filter(|name| name.starts_with("golden/cases/") && name.ends_with("/mesh.yaml"));
    meshes.map(|name| root().join(name).parent().unwrap().to_owned()).collect()
}

#[test]
fn every_mesh_gives_the_problems_and_the_snapshot_that_stand_beside_it() {
    let cases = cases();
    assert!(!cases.is_empty());
    for case in cases {
        let (sources, compiled) = compile_folder(&case);
        with_settings!({
            snapshot_path => &case, prepend_module_to_snapshot => false, omit_expression => true,
            description => format!("{} documents", compiled.counts.documents),
        }, {
            if !compiled.problems.is_empty() {
                assert_snapshot!("problems", problems_text(&sources, &compiled));
            }
            if let Some(snapshot) = &compiled.snapshot {
                snapshot.verify().unwrap();
                assert_snapshot!("snapshot", describe(snapshot, None, Some(&compiled.source_map)).unwrap());
            }
        });
    }
}

#[test]
fn nothing_lies_beside_a_mesh_that_no_stage_makes() {
    for case in cases() {
        let (_, compiled) = compile_folder(&case);
        let mut want = BTreeSet::new();
        if !compiled.problems.is_empty() {
            want.insert("problems.snap".to_owned());
        }
        if compiled.snapshot.is_some() {
            want.insert("snapshot.snap".to_owned());
        }
        let names = fs::read_dir(&case).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let found: BTreeSet<String> = names.filter(|name| name.ends_with(".snap")).collect();
        assert_eq!(found, want, "{}", case.display());
    }
}

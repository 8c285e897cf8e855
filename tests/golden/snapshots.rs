//! `golden/snapshots/vN/`: frozen samples. Files are added there, never changed; today's code decodes every one of them.

use std::fs;

use harness::{root, tracked_files};
use taut_snapshot::format::file;
use taut_snapshot::{Digest, describe};

#[test]
fn every_snapshot_ever_written_is_still_understood() {
    let samples: Vec<String> = tracked_files()
        .into_iter()
        .filter(|name| name.starts_with("golden/snapshots/") && name.ends_with(".bin"))
        .collect();
    assert!(!samples.is_empty());
    for name in samples {
        let bytes = fs::read(root().join(&name)).unwrap();
        let snapshot = file::read(&bytes).unwrap_or_else(|bad| panic!("{name}: {bad}"));
        snapshot.verify().unwrap_or_else(|bad| panic!("{name}: {bad}"));
        let said = fs::read_to_string(root().join(name.replace(".bin", ".txt"))).unwrap();
        assert_eq!(describe(&snapshot, None, None).unwrap(), said, "{name}");
        let digest = fs::read_to_string(root().join(name.replace(".bin", ".blake3"))).unwrap();
        assert_eq!(Digest::of(&bytes).to_string(), digest.trim(), "{name} is frozen");
    }
}

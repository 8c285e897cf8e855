//! The first look at a mesh, as it is timed here and in processes of its own.

use std::time::Instant;

use taut_compile::{Options, compile};
use taut_source::threads::each_of_many;
use taut_source::{SourceFile, SourceSet};

use crate::typed;

/// The task of a process of its own: how long it takes to compile a folder, once its files are at hand.
pub(crate) const COMPILE: &str = "compile";
/// How long `serde_yaml` takes to read them.
pub(crate) const SERDE_YAML: &str = "serde_yaml";
/// The most bytes that it takes to read the folder, compile it and write the snapshot.
pub(crate) const MEMORY: &str = "memory";

/// Seconds until a call has made what it makes. To let go of that afterwards is not counted.
pub(crate) fn seconds<T>(call: impl FnOnce() -> T) -> f64 {
    let begun = Instant::now();
    let made = call();
    let taken = begun.elapsed().as_secs_f64();
    drop(made);
    taken
}

/// As `taut check` makes them of what it has read.
pub(crate) fn sources(files: &[(String, String)]) -> SourceSet {
    SourceSet::new(each_of_many(files, |(name, text)| SourceFile::new(name, text.as_bytes())))
}

/// Seconds to check and to compile files that are at hand.
pub(crate) fn compiled_in(files: &[(String, String)]) -> f64 {
    seconds(|| {
        let sources = sources(files);
        (compile(&sources, &Options::default()), sources)
    })
}

/// Seconds in which `serde_yaml` reads them.
pub(crate) fn read_in(files: &[(String, String)]) -> f64 {
    seconds(|| files.iter().for_each(|(_, text)| assert_ne!(typed::read(text), 0)))
}

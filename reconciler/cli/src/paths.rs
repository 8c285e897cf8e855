//! PATH arguments become a source set: a file, a folder, `-`, or `REPO@REV[:FOLDER]`.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use taut_intake::{BlobCache, Commit, Repository};
use taut_source::{SourceFile, SourceSet};

use crate::args::MeshFiles;
use crate::failure::Failure;

/// The files, and the commit they are of, if they are of one.
pub(crate) struct Sources {
    pub(crate) set: SourceSet,
    pub(crate) commit: Option<Commit>,
}

/// Reads everything that the arguments name.
pub(crate) fn read(paths: &[String], wide: &MeshFiles) -> Result<Sources, Failure> {
    let mut files = Vec::new();
    let mut commit = None;
    for path in paths {
        if path == "-" {
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .map_err(|error| Failure(format!("standard input could not be read: {error}")))?;
            files.push(SourceFile::new("-", &bytes));
        } else if let Some((of, set)) = revision(path)? {
            files.extend(set.files().iter().cloned());
            commit = Some(of);
        } else {
            collect(Path::new(path), true, &mut files)?;
        }
    }
    for path in [&wide.mesh_config, &wide.mesh_networks].into_iter().flatten() {
        let bytes =
            fs::read(path).map_err(|error| Failure(format!("{} could not be read: {error}", path.display())))?;
        files.push(SourceFile::new(&path.to_string_lossy(), &bytes));
    }
    Ok(Sources { set: SourceSet::new(files), commit })
}

/// `REPO@REV[:FOLDER]`, unless a file or folder has that very name.
fn revision(path: &str) -> Result<Option<(Commit, SourceSet)>, Failure> {
    let Some((repository, rest)) = path.rsplit_once('@').filter(|_| !Path::new(path).exists()) else { return Ok(None) };
    let (revision, folder) = rest.split_once(':').map_or((rest, None), |(revision, folder)| (revision, Some(folder)));
    let repository = Repository::open(Path::new(if repository.is_empty() { "." } else { repository }))?;
    let commit = repository.revision(revision)?;
    let sources = repository.sources(&commit, folder, &mut BlobCache::default())?;
    Ok(Some((commit, sources)))
}

/// A file that was named is read whatever it is called; in folders, `*.yaml`, `*.yml` and `*.json` are.
fn collect(path: &Path, named: bool, files: &mut Vec<SourceFile>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure(format!("{} could not be read: {error}", path.display()));
    let kind = fs::metadata(path).map_err(unreadable)?;
    if kind.is_dir() {
        // Exceptions from rules are for all of what is checked, so they stand in its root alone.
        let exceptions = path.join("taut.toml");
        if named && exceptions.is_file() {
            let bytes = fs::read(&exceptions).map_err(unreadable)?;
            files.push(SourceFile::new(&exceptions.to_string_lossy(), &bytes));
        }
        let mut entries: Vec<_> =
            fs::read_dir(path).map_err(unreadable)?.collect::<Result<_, _>>().map_err(unreadable)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            // A link to a folder may lead in a circle; a link to a file is a file.
            let link_to_folder = entry.file_type().is_ok_and(|kind| kind.is_symlink()) && entry.path().is_dir();
            if !hidden && !link_to_folder {
                collect(&entry.path(), false, files)?;
            }
        }
        return Ok(());
    }
    let source = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
    if named || source {
        let bytes = fs::read(path).map_err(unreadable)?;
        files.push(SourceFile::new(&path.to_string_lossy(), &bytes));
    }
    Ok(())
}

//! PATH arguments become a source set: a file, a folder, `-`, or `REPO@REV[:FOLDER]`.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use taut_intake::{BlobCache, Commit, Repository};
use taut_source::{SourceFile, SourceSet, threads};

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
            let mut found = Vec::new();
            named(Path::new(path), &mut found)?;
            // A large folder is thousands of small files, which the system hands over one by one.
            files.extend(threads::each_of_many(&found, |path| file(path)).into_iter().collect::<Result<Vec<_>, _>>()?);
        }
    }
    for path in [&wide.mesh_config, &wide.mesh_networks].into_iter().flatten() {
        files.push(file(path)?);
    }
    Ok(Sources { set: SourceSet::new(files), commit })
}

fn file(path: &Path) -> Result<SourceFile, Failure> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    Ok(SourceFile::new(&path.to_string_lossy(), &bytes))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure(format!("{} could not be read: {error}", path.display()))
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
fn named(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if !fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    // Exceptions from rules are for all of what is checked, so they stand in its root alone.
    let exceptions = path.join("taut.toml");
    if exceptions.is_file() {
        files.push(exceptions);
    }
    within(path, files)
}

/// The sources in a folder and the folders in it, by name.
fn within(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| unreadable(folder, &error);
    let mut entries: Vec<_> = fs::read_dir(folder).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        let is_source = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        // A link to a folder may lead in a circle; a link to a file is a file.
        if kind.is_dir() {
            within(&path, files)?;
        } else if is_source && !(kind.is_symlink() && path.is_dir()) {
            files.push(path);
        }
    }
    Ok(())
}

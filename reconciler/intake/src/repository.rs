//! One repository on disk: its branches, commits and files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use git2::{ErrorCode, ObjectType, Oid, TreeWalkMode, TreeWalkResult};
use taut_source::{SourceFile, SourceSet};

/// Why a repository could not be read. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The user's: there is no repository here.
    #[error("{0} is no git repository: name a folder that has one, or make one there with `git init`")]
    NotARepository(PathBuf),
    /// The user's: nothing was committed yet.
    #[error("the repository {0} has no commit yet: commit the mesh's files, and Taut will take it from there")]
    Empty(PathBuf),
    /// The user's: the branch does not exist.
    #[error("{repository} has no branch `{branch}`: {known}")]
    NoBranch {
        /// The repository.
        repository: PathBuf,
        /// The branch that was asked for.
        branch: String,
        /// The branches that there are, as a sentence.
        known: String,
    },
    /// The user's: the revision names nothing.
    #[error("{repository} has no revision `{revision}`: name a commit, a branch or a tag")]
    NoRevision {
        /// The repository.
        repository: PathBuf,
        /// The revision that was asked for.
        revision: String,
    },
    /// The user's: the folder is not in the commit.
    #[error("commit {commit} has no folder `{folder}`: correct `--path`, or commit the folder")]
    NoFolder {
        /// The commit.
        commit: String,
        /// The folder that was asked for.
        folder: String,
    },
    /// The network's or the remote's: worth trying again.
    #[error("{url} could not be fetched: {why}")]
    Fetch {
        /// The remote.
        url: String,
        /// What the transport said.
        why: String,
    },
    /// The disk's or the repository's: damaged, or not readable.
    #[error("the repository {path} could not be read: {why}")]
    Unreadable {
        /// The repository.
        path: PathBuf,
        /// What libgit2 said.
        why: String,
    },
}

/// A commit, as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// 40 hexadecimal digits.
    pub id: String,
    /// The first line of its message.
    pub summary: String,
    /// `name <email>`.
    pub author: String,
    /// When it was committed.
    pub time: SystemTime,
}

/// The bytes of blobs that were read before, by object id: most files of most commits are those of the one before.
#[derive(Debug, Default)]
pub struct BlobCache {
    files: BTreeMap<Oid, SourceFile>,
}

/// A repository.
pub struct Repository {
    git: git2::Repository,
    path: PathBuf,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The files that may hold resources, and the one in the root that holds exceptions from rules.
fn is_source(folder: &str, name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end)) || (folder.is_empty() && name == "taut.toml")
}

impl Repository {
    /// Opens a repository: its work tree, its `.git` folder, or a bare one.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Repository, IntakeError> {
        match git2::Repository::open(path) {
            Ok(git) => Ok(Repository { git, path: path.to_owned() }),
            Err(error) if error.code() == ErrorCode::NotFound => Err(IntakeError::NotARepository(path.to_owned())),
            Err(error) => Err(IntakeError::Unreadable { path: path.to_owned(), why: error.message().to_owned() }),
        }
    }

    /// The folder with the repository's refs and objects, shared by all of its work trees.
    #[must_use]
    pub fn git_folder(&self) -> &Path {
        self.git.commondir()
    }

    pub(crate) fn git(&self) -> &git2::Repository {
        &self.git
    }

    fn unreadable(&self, error: &git2::Error) -> IntakeError {
        IntakeError::Unreadable { path: self.path.clone(), why: error.message().to_owned() }
    }

    /// The commit that a branch is at; of the checked-out branch if none is named.
    ///
    /// # Errors
    /// If the repository is empty, or has no such branch.
    pub fn head(&self, branch: Option<&str>) -> Result<Commit, IntakeError> {
        let Some(branch) = branch else {
            return match self.git.head() {
                Ok(head) => self.commit(head.peel_to_commit().map_err(|error| self.unreadable(&error))?.id()),
                Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => {
                    Err(IntakeError::Empty(self.path.clone()))
                }
                Err(error) => Err(self.unreadable(&error)),
            };
        };
        let reference = format!("refs/heads/{branch}");
        match self.git.find_reference(&reference).and_then(|found| found.peel_to_commit()) {
            Ok(commit) => self.commit(commit.id()),
            Err(error) if error.code() == ErrorCode::NotFound => {
                let known = self.branches();
                if known.is_empty() {
                    return Err(IntakeError::Empty(self.path.clone()));
                }
                let known = format!("its branches are: {}", known.join(", "));
                Err(IntakeError::NoBranch { repository: self.path.clone(), branch: branch.to_owned(), known })
            }
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    fn branches(&self) -> Vec<String> {
        let branches = self.git.branches(Some(git2::BranchType::Local));
        let names = branches
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|(branch, _)| branch.name().ok().flatten().map(str::to_owned));
        names.collect()
    }

    /// The commit that a revision names: an id or the start of one, a branch, a tag, `HEAD~1`.
    ///
    /// # Errors
    /// If it names none.
    pub fn revision(&self, revision: &str) -> Result<Commit, IntakeError> {
        let found = self.git.revparse_single(revision).and_then(|object| object.peel_to_commit());
        match found {
            Ok(commit) => self.commit(commit.id()),
            Err(_) => Err(IntakeError::NoRevision { repository: self.path.clone(), revision: revision.to_owned() }),
        }
    }

    fn commit(&self, id: Oid) -> Result<Commit, IntakeError> {
        let commit = self.git.find_commit(id).map_err(|error| self.unreadable(&error))?;
        let author = commit.author();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let seconds = u64::try_from(commit.time().seconds()).unwrap_or(0);
        Ok(Commit {
            id: id.to_string(),
            summary: commit.summary_bytes().map(text).unwrap_or_default(),
            author: format!("{} <{}>", text(author.name_bytes()), text(author.email_bytes())),
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        })
    }

    /// The files of a commit that may hold resources, below a folder; names are relative to the repository.
    ///
    /// # Errors
    /// If the commit cannot be read, or has no such folder.
    pub fn sources(
        &self,
        commit: &Commit,
        folder: Option<&str>,
        cache: &mut BlobCache,
    ) -> Result<SourceSet, IntakeError> {
        let failed = |error: git2::Error| self.unreadable(&error);
        let id = Oid::from_str(&commit.id).map_err(failed)?;
        let mut tree = self.git.find_commit(id).and_then(|commit| commit.tree()).map_err(failed)?;
        let folder =
            folder.map(|folder| folder.trim_matches('/')).filter(|folder| !folder.is_empty() && *folder != ".");
        if let Some(folder) = folder {
            let missing = || IntakeError::NoFolder { commit: commit.id[..12].to_owned(), folder: folder.to_owned() };
            let entry = tree.get_path(Path::new(folder)).map_err(|_| missing())?;
            tree = entry.to_object(&self.git).map_err(failed)?.into_tree().map_err(|_| missing())?;
        }
        let mut blobs: Vec<(String, Oid)> = Vec::new();
        let walked = tree.walk(TreeWalkMode::PreOrder, |parent, entry| {
            let (Ok(name), kind) = (entry.name(), entry.kind()) else { return TreeWalkResult::Ok };
            if kind == Some(ObjectType::Tree) && name.starts_with('.') {
                return TreeWalkResult::Skip;
            }
            if kind == Some(ObjectType::Blob) && is_source(parent, name) {
                let base = folder.map(|folder| format!("{folder}/")).unwrap_or_default();
                blobs.push((format!("{base}{parent}{name}"), entry.id()));
            }
            TreeWalkResult::Ok
        });
        walked.map_err(failed)?;
        let mut files = Vec::with_capacity(blobs.len());
        let mut kept = BTreeMap::new();
        for (name, id) in blobs {
            let file = match cache.files.get(&id) {
                Some(known) => known.clone(),
                None => SourceFile::new("", self.git.find_blob(id).map_err(failed)?.content()),
            };
            kept.insert(id, file.clone());
            files.push(SourceFile { name: Arc::from(name), ..file });
        }
        cache.files = kept; // what the newest commit has is what the next one will mostly have
        Ok(SourceSet::new(files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(files: &[(&str, &str)]) -> (tempfile::TempDir, Repository) {
        let folder = tempfile::tempdir().unwrap();
        let git = git2::Repository::init(folder.path()).unwrap();
        git.set_head("refs/heads/main").unwrap();
        commit(&git, files);
        let opened = Repository::open(folder.path()).unwrap();
        (folder, opened)
    }

    fn commit(git: &git2::Repository, files: &[(&str, &str)]) {
        let mut index = git.index().unwrap();
        for (name, text) in files {
            let path = git.workdir().unwrap().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            index.add_path(Path::new(name)).unwrap();
        }
        let tree = git.find_tree(index.write_tree().unwrap()).unwrap();
        let author = git2::Signature::now("A", "a@example.com").unwrap();
        let parent = git.head().ok().map(|head| head.peel_to_commit().unwrap());
        git.commit(Some("HEAD"), &author, &author, "a change\n\nwith text", &tree, &parent.iter().collect::<Vec<_>>())
            .unwrap();
    }

    #[test]
    fn a_commit_is_its_source_files_below_a_folder() {
        let files = [
            ("mesh/a.yaml", "a"),
            ("mesh/b/c.yml", "c"),
            ("mesh/.hidden/d.yaml", "d"),
            ("mesh/readme.md", "x"),
            ("e.json", "e"),
        ];
        let (_folder, repository) = repository(&files);
        let head = repository.head(Some("main")).unwrap();
        assert_eq!((head.summary.as_str(), head.author.as_str()), ("a change", "A <a@example.com>"));
        let names = |folder| {
            let set = repository.sources(&head, folder, &mut BlobCache::default()).unwrap();
            set.files().iter().map(|file| file.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(None), ["e.json", "mesh/a.yaml", "mesh/b/c.yml"]);
        assert_eq!(names(Some("mesh/")), ["mesh/a.yaml", "mesh/b/c.yml"]);
        let missing = repository.sources(&head, Some("nowhere"), &mut BlobCache::default()).unwrap_err();
        assert!(missing.to_string().contains("has no folder `nowhere`"), "{missing}");
    }

    #[test]
    fn what_is_missing_is_named_with_a_remedy() {
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Repository::open(empty.path()), Err(IntakeError::NotARepository(_))));
        git2::Repository::init(empty.path()).unwrap();
        let opened = Repository::open(empty.path()).unwrap();
        assert!(matches!(opened.head(None), Err(IntakeError::Empty(_))));
        assert!(matches!(opened.head(Some("main")), Err(IntakeError::Empty(_))));
        let (_folder, repository) = repository(&[("a.yaml", "")]);
        let error = repository.head(Some("prod")).unwrap_err().to_string();
        assert!(error.contains("no branch `prod`") && error.contains("main"), "{error}");
        assert!(matches!(repository.revision("nope"), Err(IntakeError::NoRevision { .. })));
        assert_eq!(repository.revision("HEAD").unwrap(), repository.head(None).unwrap());
    }
}

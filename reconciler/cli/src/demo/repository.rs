//! The demo's git repository, made with the `git` that people use.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// The shop, before anything happens to it.
const MESH: &str = include_str!("../../../../golden/cases/demo/shop/mesh.yaml");
const ORDERS: &str = include_str!("../../../../golden/cases/demo/shop/orders.yaml");

/// What `orders.yaml` becomes.
pub(super) const CANARY: &str = include_str!("../../../../golden/cases/demo/steps/canary.yaml");
pub(super) const ALL_V2: &str = include_str!("../../../../golden/cases/demo/steps/all-v2.yaml");
pub(super) const BROKEN: &str = include_str!("../../../../golden/cases/demo/steps/broken.yaml");

/// A repository of our own.
pub(super) struct Repository {
    folder: PathBuf,
}

impl Repository {
    /// Makes it, with the shop as its first commit.
    pub(super) fn create(folder: &Path) -> Result<(Repository, String), Failure> {
        std::fs::create_dir_all(folder.join("shop"))?;
        let repository = Repository { folder: folder.to_owned() };
        repository.git(&["init", "--quiet", "--initial-branch=main"])?;
        std::fs::write(folder.join("shop/mesh.yaml"), MESH)?;
        let commit = repository.commit(ORDERS, "the shop: all orders go to v1")?;
        Ok((repository, commit))
    }

    /// Changes the routes of orders; answers the commit's id.
    pub(super) fn commit(&self, orders: &str, message: &str) -> Result<String, Failure> {
        std::fs::write(self.folder.join("shop/orders.yaml"), orders)?;
        self.git(&["add", "."])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        self.git(&["rev-parse", "HEAD"])
    }

    fn git(&self, arguments: &[&str]) -> Result<String, Failure> {
        let mut git = Command::new("git");
        // Whoever runs this may sign commits, or have hooks: none of it belongs here.
        git.args(["-c", "user.name=Taut demo", "-c", "user.email=demo@example.com", "-c", "core.hooksPath=/dev/null"]);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        for outer in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            git.env_remove(outer);
        }
        let output = git.current_dir(&self.folder).args(arguments).stdin(Stdio::null()).output();
        let output =
            output.map_err(|error| Failure(format!("the demo needs `git`, which could not be started: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure(format!("`git {}` failed: {}", arguments.join(" "), said.trim())));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

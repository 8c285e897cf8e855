//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "taut",
    version,
    about = "GitOps for the service mesh: a git push moves live traffic, all of it or none of it",
    disable_help_subcommand = true,
    propagate_version = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what is wrong with a mesh
    Check(Check),
    /// Compile a mesh into a snapshot
    Compile(Compile),
    /// Show what is in a snapshot
    Inspect(Inspect),
    /// List every rule that `check` knows
    Rules(Rules),
    /// Print completions for a shell
    Completions(Completions),
    /// Write the manual pages into a folder
    Man(Man),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum FailOn {
    Info,
    Warning,
    Error,
}

/// What every command that reads a mesh takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct MeshArgs {
    /// The namespace of objects that name none; may be empty
    #[arg(long, value_name = "NS", default_value = "default", env = "TAUT_DEFAULT_NAMESPACE")]
    pub(crate) default_namespace: String,
    /// Which reader reads YAML: the fast one, or the reference that it is held to
    #[arg(long, value_enum, default_value = "fast", hide = true)]
    pub(crate) reader: Reader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reader {
    Fast,
    Reference,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// Files, folders, `-` for standard input, or REPO@REV[:FOLDER]
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
    /// The least severity that makes the exit status 1
    #[arg(long, value_enum, default_value = "error", value_name = "SEVERITY")]
    pub(crate) fail_on: FailOn,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Compile {
    /// Files, folders, `-` for standard input, or REPO@REV[:FOLDER]
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// The file to write; its source map goes beside it, as FILE.map
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) mesh: MeshArgs,
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Inspect {
    /// A file that `compile` wrote
    pub(crate) file: PathBuf,
    /// Show the view of one workload only
    #[arg(long, value_name = "NS/NAME")]
    pub(crate) workload: Option<String>,
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Rules {
    /// How to write the result
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Man {
    /// The folder
    pub(crate) folder: PathBuf,
}

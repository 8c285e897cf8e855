//! `taut demo`: a mesh of separate processes on this machine, under load, through the eight things that Taut promises.
//!
//! Owns: the story, its repository, its processes, its applications and its load.
//! May not: reach into the parts. Everything is done by commands that an operator would type.
//!
//! Reading order: `story` is what happens, `fleet` the processes, `load` the requests, `applications` what answers them.

mod applications;
mod call;
mod fleet;
mod load;
mod repository;
mod screen;
mod story;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::Demo;
use crate::failure::Failure;
use crate::output::Output;
use screen::Screen;
use story::Story;

pub(crate) fn run(args: &Demo, output: &mut Output) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut stopped = signal(SignalKind::terminate())?;
        let mut screen = Screen::new(output);
        let mut story = Story::begin()?;
        let told = tokio::select! {
            told = story.tell(&mut screen) => told,
            _ = tokio::signal::ctrl_c() => Err(Failure("interrupted".to_owned())),
            _ = stopped.recv() => Err(Failure("stopped".to_owned())),
        };
        if let Err(failure) = &told {
            screen.failed(failure, &story.logs());
        }
        let held = told.is_ok();
        if held && args.keep {
            screen.keep(&story.commands_to_try()?);
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = stopped.recv() => {}
            }
        }
        story.end().await;
        Ok(ExitCode::from(u8::from(!held)))
    })
}

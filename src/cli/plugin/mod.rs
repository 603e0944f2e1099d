//! `hookswitch plugin`: the kit of whoever writes plugins.

mod build;
mod component;
mod file;
#[cfg(test)]
mod hostile;
mod javascript;
mod manifest;
mod new;
mod push;
mod python;
mod replay;
mod rust;
mod service;
mod tools;
mod trial;
mod wit;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use crate::app::Error;

/// Exit status of a replay that ended otherwise.
const DIFFERENT: u8 = 3;

/// What can be done with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// Write a folder to begin with: source, manifest, an example of the input.
    New {
        /// The plugin's name, and the folder's: a-z, 0-9 and -.
        name: String,
        /// What to write it in.
        #[arg(long, value_enum)]
        lang: Language,
        /// What it does.
        #[arg(long, value_enum, default_value = "router")]
        kind: Kind,
        /// Where the folder goes.
        #[arg(long, value_name = "DIR", default_value = ".")]
        into: PathBuf,
    },
    /// Make what can be uploaded: a component of Rust and Python; JavaScript is uploaded as it is.
    Build {
        /// The folder with plugin.toml.
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// Make a component of JavaScript too: 12 MB, but packages can be bundled.
        #[arg(long)]
        component: bool,
        /// Where the component goes; dist/NAME.wasm in the folder if not given.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Say what the service would say of an upload: limits, imports, kind, whether it can be made ready.
    Check(trial::Arguments),
    /// Run it once: decision, log, and what it cost of what it may.
    Run {
        #[command(flatten)]
        file: trial::Arguments,
        #[command(flatten)]
        inputs: trial::Inputs,
        /// Print the whole report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run it many times and say what a run costs.
    Bench {
        #[command(flatten)]
        file: trial::Arguments,
        #[command(flatten)]
        inputs: trial::Inputs,
        /// How often.
        #[arg(long, default_value_t = 2_000)]
        runs: usize,
    },
    /// Run it on what a run of the service's was given: a call of yesterday against what is built here. Ends with 3 where it
    /// decides otherwise.
    Replay(replay::Arguments),
    /// Upload what was built to a running service, which says what it is and costs there.
    Push(push::Arguments),
}

/// What a plugin is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    /// A component of some kilobytes; the fastest.
    Rust,
    /// Text; the service brings the engine.
    Js,
    /// A component of 18 MB.
    Python,
}

/// What a plugin does: the world that it implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Chooses where an inbound call goes.
    Router,
    /// Sees events, and drafts tickets.
    Ticketer,
    /// Talks to the caller, then decides where the call goes.
    CallScript,
}

impl Kind {
    /// As in manifests and over REST; the world's name too.
    fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Ticketer => "ticketer",
            Self::CallScript => "call-script",
        }
    }

    /// The function of the author's, in WIT's manner of writing.
    fn function(self) -> &'static str {
        match self {
            Self::Router => "route-call",
            Self::Ticketer => "on-event",
            Self::CallScript => "handle-call",
        }
    }
}

/// Does one of them. Needs no settings and no database.
pub(super) fn run(plugin: Plugin) -> Result<ExitCode, Error> {
    match plugin {
        Plugin::New { name, lang, kind, into } => {
            let folder = new::write(&into, &name, lang, kind)?;
            println!("{}", new::next_steps(&folder, lang));
        }
        Plugin::Build { dir, component, out } => {
            println!("{}", build::run(&dir, component, out.as_deref())?);
        }
        Plugin::Check(file) => println!("{}", trial::check(&file)?),
        Plugin::Run { file, inputs, json } => {
            let (text, well) = trial::run(&file, &inputs, json)?;
            println!("{text}");
            if !well {
                return Err(said("the run did not end well"));
            }
        }
        Plugin::Replay(arguments) => {
            if !replay::run(&arguments)? {
                return Ok(ExitCode::from(DIFFERENT));
            }
        }
        Plugin::Push(arguments) => push::run(&arguments)?,
        Plugin::Bench { file, inputs, runs } => println!("{}", trial::bench(&file, &inputs, runs)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn said(error: impl std::fmt::Display) -> Error {
    Error::Said(error.to_string())
}

/// What was done to a file, in front of why it failed.
fn at(path: &std::path::Path) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::Said(format!("{}: {error}", path.display()))
}

//! What the image's units call.

use clap::{Parser, Subcommand};

use crate::disk;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "tide-provision", version, about = "Makes a flashed card a station")]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the data partition if there is none, check it, and set it aside if it is beyond repair
    Disk(disk::Options),
}

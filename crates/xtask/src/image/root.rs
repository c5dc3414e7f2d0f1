//! The root folder of a card, before it becomes an image: all that is done to it is done by programs that take us for root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::as_root;
use super::layers::Layers;
use crate::process::{run, run_quietly};

/// A root folder.
pub(crate) struct Root {
    path: PathBuf,
    prefix: Option<Vec<&'static str>>,
}

impl Root {
    /// Unpacks a base system.
    ///
    /// # Errors
    /// If there is no room, or an older folder cannot be removed.
    pub(crate) fn unpack(archive: &Path, path: &Path) -> Result<Self> {
        let root = Self { path: path.to_owned(), prefix: as_root()? };
        root.run(Command::new("rm").arg("-rf").arg(path))?;
        std::fs::create_dir_all(path)?;
        // Device nodes come with the kernel at the boot, and nobody but the real root may make them here.
        let mut tar = Command::new("tar");
        tar.args(["--numeric-owner", "--exclude=./dev/*", "-xpf"]).arg(archive).arg("-C").arg(path);
        root.run(&mut tar)?;
        Ok(root)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a program as whoever owns these files.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn run(&self, command: &mut Command) -> Result<()> {
        self.run_by(run, command)
    }

    /// The same with a program that talks much.
    ///
    /// # Errors
    /// If it fails; then it is shown what it said.
    pub(crate) fn run_quietly(&self, command: &mut Command) -> Result<()> {
        self.run_by(run_quietly, command)
    }

    fn run_by(&self, run: fn(&mut Command) -> Result<()>, command: &mut Command) -> Result<()> {
        let Some([first, rest @ ..]) = self.prefix.as_deref() else { return run(command) };
        let mut wrapped = Command::new(first);
        wrapped.args(rest).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            wrapped.current_dir(folder);
        }
        run(&mut wrapped)
    }

    /// Copies a folder that mirrors `/` over it. Everything is root's, who alone may write it, whatever the checkout's umask was;
    /// and folders that exist keep their rights.
    ///
    /// # Errors
    /// If something cannot be copied.
    pub(crate) fn lay_over(&self, overlay: &Path) -> Result<()> {
        let mut pack = Command::new("sh");
        let script = "tar -C \"$1\" --owner=0 --group=0 --mode=go-w --numeric-owner -cf - . | \
                      tar -C \"$2\" --no-overwrite-dir --numeric-owner -xpf -";
        self.run(pack.args(["-euc", script, "sh"]).arg(overlay).arg(&self.path))
    }

    /// Runs a layer's hook as rpi-image-gen does, with the root folder as its argument.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn run_hook(&self, hook: &str, layers: &Layers) -> Result<()> {
        self.run_with(&["sh", "-euc", hook, "sh"], layers)
    }

    /// Runs a script of `image/` in the same way.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn run_script(&self, script: &Path, layers: &Layers) -> Result<()> {
        self.run_with(&[script], layers)
    }

    fn run_with(&self, words: &[impl AsRef<OsStr>], layers: &Layers) -> Result<()> {
        let [program, arguments @ ..] = words else { return Ok(()) };
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.path);
        layers.export(&mut command);
        self.run(&mut command)
    }

    /// Removes it.
    ///
    /// # Errors
    /// If that cannot be done.
    pub(crate) fn remove(self) -> Result<()> {
        self.run(Command::new("rm").arg("-rf").arg(&self.path))
    }
}

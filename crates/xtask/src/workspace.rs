//! The tree and its packages, as git and cargo see them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// This workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The top of the tree.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Our crates.
    pub(crate) packages: Vec<Package>,
}

/// One crate of ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// The crates of ours that it names as dependencies of any kind, itself left out.
    pub(crate) uses: BTreeSet<String>,
    /// The names of its integration tests.
    pub(crate) tests: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// If cargo cannot be asked, or a manifest is wrong.
    pub(crate) fn load() -> Result<Self> {
        let metadata = process::output(&mut process::cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
        Self::parse(&metadata)
    }

    fn parse(metadata: &str) -> Result<Self> {
        let metadata: Value =
            serde_json::from_str(metadata).context("failed to parse the output of `cargo metadata`")?;
        let folder = |key: &str| {
            let folder = metadata[key].as_str().with_context(|| format!("`cargo metadata` has no `{key}`"))?;
            anyhow::Ok(PathBuf::from(folder))
        };
        Ok(Self {
            root: folder("workspace_root")?,
            target: folder("target_directory")?,
            packages: items(&metadata, "packages").map(Package::from_metadata).collect(),
        })
    }

    /// `git` with these arguments, at the top of the tree.
    pub(crate) fn git(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// Every file of the tree, new ones included, ignored ones not, from the top with `/` between folders.
    ///
    /// # Errors
    /// If git cannot be asked.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let list = process::output(&mut self.git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
        let names = list.split_terminator('\0').filter(|name| self.root.join(name).symlink_metadata().is_ok());
        Ok(names.map(str::to_owned).collect())
    }
}

impl Package {
    fn from_metadata(package: &Value) -> Self {
        let name = text(package, "name");
        let is_ours = |dependency: &&Value| dependency["path"].is_string() && text(dependency, "name") != name;
        let is_test = |target: &&Value| items(target, "kind").any(|kind| kind == "test");
        Self {
            uses: items(package, "dependencies").filter(is_ours).map(|dependency| text(dependency, "name")).collect(),
            tests: items(package, "targets").filter(is_test).map(|target| text(target, "name")).collect(),
            name: name.clone(),
        }
    }
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[key].as_array().into_iter().flatten()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_cargo_metadata() {
        let metadata = r#"{
            "workspace_root": "/w", "target_directory": "/w/target",
            "packages": [{
                "name": "tide-durable",
                "dependencies": [
                    {"name": "rustix", "source": "registry"},
                    {"name": "tide-photo", "path": "/w/crates/tide-photo"},
                    {"name": "tide-durable", "path": "/w/crates/tide-durable"}
                ],
                "targets": [{"name": "tide_durable", "kind": ["lib"]}, {"name": "power_cut", "kind": ["test"]}]
            }]
        }"#;
        let workspace = Workspace::parse(metadata).unwrap();
        let package = Package {
            name: "tide-durable".to_owned(),
            uses: BTreeSet::from(["tide-photo".to_owned()]),
            tests: vec!["power_cut".to_owned()],
        };
        assert_eq!(workspace.packages, [package]);
        assert_eq!(workspace.target, PathBuf::from("/w/target"));
    }
}

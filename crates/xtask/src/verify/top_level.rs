//! The top of the tree: a newcomer's first page, kept short.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::Session;

/// All that may lie at the top besides names that begin with a dot; a folder's name ends in `/`.
const ALLOWED: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Cross.toml",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "crates/",
    "docker-compose.yml",
    "image/",
    "overlays/",
];

/// Fails if anything else lies there.
pub(super) fn check(session: &mut Session) -> Result<()> {
    let files = session.workspace.files()?;
    let strays = strays(&files);
    if !strays.is_empty() {
        let strays = Vec::from_iter(strays).join(", ");
        bail!("at the top of the tree, this does not belong: {strays}\nOnly this may lie there: {}", ALLOWED.join(" "));
    }
    Ok(())
}

fn strays(files: &[String]) -> BTreeSet<&str> {
    let tops = files.iter().map(|file| file.find('/').map_or(file.as_str(), |slash| &file[..=slash]));
    tops.filter(|top| !top.starts_with('.') && !ALLOWED.contains(top)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[&str], expected: &[&str]) {
        let files: Vec<String> = files.iter().map(ToString::to_string).collect();
        assert_eq!(strays(&files), BTreeSet::from_iter(expected.iter().copied()));
    }

    #[test]
    fn what_belongs_and_dotted_names_pass() {
        check(&["Cargo.toml", "crates/a/src/lib.rs", ".ci/run", ".gitignore", ".github/CONTRIBUTING.md"], &[]);
    }

    #[test]
    fn anything_else_is_named_once() {
        check(&["notes.txt", "scripts/a.sh", "scripts/b.sh"], &["notes.txt", "scripts/"]);
    }

    #[test]
    fn a_file_is_no_folder() {
        check(&["crates", "LICENSE/mit"], &["LICENSE/", "crates"]);
    }
}

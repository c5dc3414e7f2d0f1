//! A check changes nothing: what it needs goes to the target folder, the cache, or a temporary folder.

use anyhow::{Result, bail};

use super::Session;
use crate::process::output;
use crate::workspace::Workspace;

/// Fails if the tree has changed since the first step; in CI also if it was not clean to begin with.
pub(super) fn check(session: &mut Session) -> Result<()> {
    judge(&session.status_before, &status(&session.workspace)?, session.config.is_ci)
}

/// What differs from the last commit.
///
/// # Errors
/// If git cannot be asked.
pub(super) fn status(workspace: &Workspace) -> Result<String> {
    output(&mut workspace.git(&["status", "--porcelain", "--untracked-files=all"]))
}

fn judge(before: &str, after: &str, is_ci: bool) -> Result<()> {
    if before != after {
        bail!("the tree was changed meanwhile, by a step or by you.\nBefore:\n{before}\nAfter:\n{after}");
    }
    if is_ci && !after.is_empty() {
        bail!("in CI the tree must be as committed, but `git status` says:\n{after}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_in_progress_is_fine_except_in_ci() {
        assert!(judge(" M README.md\n", " M README.md\n", false).is_ok());
        assert!(judge(" M README.md\n", " M README.md\n", true).is_err());
        assert!(judge("", "", true).is_ok());
    }

    #[test]
    fn what_a_step_leaves_behind_is_named() {
        let error = judge("", "?? crates/leftover.jpg\n", false).unwrap_err();
        assert!(error.to_string().contains("leftover.jpg"));
    }
}

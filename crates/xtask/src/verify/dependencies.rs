//! Which foreign crates may come in. The policy itself is in `.deny.toml`.

use std::process::Command;

use anyhow::Result;

use super::Session;
use crate::process::run;
use crate::tools::Tool;

const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

/// Bans, licences and sources. Advisories change with the day and not with the tree, so they have no place here.
pub(super) fn check(session: &mut Session) -> Result<()> {
    let program = CARGO_DENY.ensure(&session.config, &session.workspace)?;
    let mut command = Command::new(program);
    command.current_dir(&session.workspace.root);
    run(command.args(["--workspace", "--locked", "--config", ".deny.toml", "check", "bans", "licenses", "sources"]))
}

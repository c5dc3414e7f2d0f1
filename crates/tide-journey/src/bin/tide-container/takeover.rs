//! A prototype's folders are mounted, and everything that is left of them comes up.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, ensure};
use tide_journey::container::{Deployment, make_prototype};
use tide_journey::programs::until;

use crate::looking::{list, wait_for};

const ROWS: usize = 1_000;

/// Photos whose bytes are compared over HTTP; all of them are compared on the disk by the server's own check.
const COMPARED: usize = 25;

pub(crate) fn run(image: &str) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let old = make_prototype(folder.path(), ROWS)?;
    // As the compose file's comment has it, with paths that are written out.
    let at = folder.path().display();
    let overrides = format!(
        "services:\n  web:\n    volumes:\n      - {at}/uploads:/prototype/uploads:ro\n      - {at}/data:/prototype/data:ro\n"
    );
    open_to_all(folder.path())?;
    let deployment = Deployment::of(image, Some(&overrides), Some("chosen-beforehand"))?;
    until("the prototype's photos are taken over", || {
        Ok(deployment.compose(&["logs"])?.contains("took over a prototype's photos"))
    })?;
    let names: BTreeSet<String> = list(&deployment, "filename")?.into_iter().collect();
    let whole = BTreeSet::from_iter(old.whole.iter().cloned());
    ensure!(names == whole, "{} photos are there, {} were whole", names.len(), whole.len());
    wait_for(async {
        let login = deployment.log_in().await?;
        for name in old.whole.iter().step_by(old.whole.len() / COMPARED) {
            let bytes = login.get(&format!("/uploads/{name}")).await?.error_for_status()?.bytes().await?;
            ensure!(bytes == fs::read(folder.path().join("uploads").join(name))?, "{name} has other bytes");
        }
        Ok(())
    })?;
    let found = deployment.check()?;
    ensure!(found["photos"] == whole.len() && found["damaged"] == serde_json::json!([]), "the check found {found}");

    deployment.compose(&["down"])?;
    deployment.compose(&["up", "-d"])?;
    deployment.until_serving()?;
    until("a second start finds nothing left to do", || {
        let log = deployment.compose(&["logs"])?;
        Ok(log.lines().any(|line| line.contains("took over") && line.contains("photos=0")))
    })?;
    let log = deployment.compose(&["logs"])?;
    let told = log.lines().rfind(|line| line.contains("took over")).context("the log has gone")?;
    ensure!(told.contains(&format!("lost={}", old.damaged)), "the log says: {told}");
    Ok(format!(
        "of {} rows all {} whole photos came up under their old names, {} damaged ones are told; the second start copied none",
        old.rows,
        whole.len(),
        old.damaged
    ))
}

/// The prototype's files belong to somebody else than the container's user.
fn open_to_all(folder: &std::path::Path) -> anyhow::Result<()> {
    tide_journey::programs::output(std::process::Command::new("chmod").args(["-R", "a+rX"]).arg(folder)).map(drop)
}

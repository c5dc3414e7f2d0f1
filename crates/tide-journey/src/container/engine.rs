//! Docker's own command, which speaks to whichever engine `DOCKER_HOST` names.

use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use crate::programs::output;

/// Runs `docker` with these arguments; what it printed.
///
/// # Errors
/// If it fails.
pub fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    output(Command::new("docker").args(arguments))
}

/// What the engine knows of an image, as `docker image inspect` tells it.
///
/// # Errors
/// If there is no such image.
pub fn image_facts(image: &str) -> anyhow::Result<Value> {
    first(&docker(&["image", "inspect", image])?)
}

/// The same of a container.
pub(super) fn container_facts(container: &str) -> anyhow::Result<Value> {
    first(&docker(&["container", "inspect", container])?)
}

fn first(list: &str) -> anyhow::Result<Value> {
    let list: Vec<Value> = serde_json::from_str(list)?;
    list.into_iter().next().context("docker knows nothing of it")
}

/// `docker compose`, or the older program of its own.
///
/// # Errors
/// If there is neither.
pub(super) fn compose() -> anyhow::Result<Vec<&'static str>> {
    let answers = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("version");
        output(&mut command).is_ok()
    };
    [vec!["docker", "compose"], vec!["docker-compose"]]
        .into_iter()
        .find(|words| answers(words))
        .context("there is neither `docker compose` nor `docker-compose` on this machine; install one of them")
}

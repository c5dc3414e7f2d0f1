//! What must hold of every workflow and is no linter's business.

use anyhow::{Context, Result};
use serde_json::Value;
use serde_saphyr as yaml;

/// What is wrong with the workflow, a sentence each.
///
/// # Errors
/// If it is no YAML.
pub(super) fn broken(file: &str, text: &str) -> Result<Vec<String>> {
    let workflow: Value = yaml::from_str(text).with_context(|| format!("failed to parse `{file}`"))?;
    let mut wrong = Vec::new();
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{file}: {what}"));
        }
    };
    demand(
        workflow["permissions"] == serde_json::json!({}),
        "say `permissions: {}` at the top; each job names its own",
    );
    for (name, job) in workflow["jobs"].as_object().into_iter().flatten() {
        demand(job["timeout-minutes"].is_u64(), &format!("the job `{name}` has no timeout-minutes"));
        demand(job["permissions"].is_object(), &format!("the job `{name}` does not name its permissions"));
        let image = job["container"].as_str().or(job["container"]["image"].as_str());
        let is_pinned = image.is_none_or(|image| image.contains("@sha256:"));
        demand(is_pinned, &format!("the container of the job `{name}` is not pinned by a digest"));
        for action in actions(job) {
            demand(is_pinned_action(action), &format!("`{action}` is not pinned by a commit's 40 digits"));
            demand(text.contains(&format!("{action} # v")), &format!("no comment tells the version of `{action}`"));
        }
    }
    let base = file.rsplit('/').next().unwrap_or_default();
    if base.starts_with("ci.") {
        let cancels = workflow["concurrency"]["cancel-in-progress"] == true;
        demand(cancels, "a run that a later one supersedes is not cancelled");
    }
    if base.starts_with("release.") {
        demand(
            starts_by_tag_only(&workflow["on"]),
            "a release starts by a tag that begins with v, and by nothing else",
        );
    }
    Ok(wrong)
}

/// Everything that the job and its steps use; a path into this repository is part of it.
fn actions(job: &Value) -> impl Iterator<Item = &str> {
    let steps = job["steps"].as_array().into_iter().flatten();
    let used = steps.chain([job]).filter_map(|user| user["uses"].as_str());
    used.filter(|action| !action.starts_with("./"))
}

fn is_pinned_action(action: &str) -> bool {
    let is_hash = |hash: &str| hash.len() == 40 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    action.split_once('@').is_some_and(|(_, hash)| is_hash(hash))
}

fn starts_by_tag_only(on: &Value) -> bool {
    let tags = on["push"]["tags"].as_array();
    let only = |value: &Value| value.as_object().is_some_and(|keys| keys.len() == 1);
    only(on) && only(&on["push"]) && tags.is_some_and(|tags| tags.iter().all(|tag| tag == "v*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
on:
  push:
    tags: ['v*']
permissions: {}
concurrency: {group: ci, cancel-in-progress: true}
jobs:
  one:
    timeout-minutes: 5
    permissions: {contents: read}
    container:
      image: debian@sha256:0000
    steps:
      - uses: actions/checkout@0123456789012345678901234567890123456789 # v1.0.0
      - uses: ./.github/actions/ours
";

    /// What is said of the good workflow once `from` is `to` in it.
    fn check(file: &str, from: &str, to: &str, expected: &[&str]) {
        assert!(GOOD.contains(from), "{from}");
        let wrong = broken(file, &GOOD.replace(from, to)).unwrap();
        let expected: Vec<String> = expected.iter().map(|what| format!("{file}: {what}")).collect();
        assert_eq!(wrong, expected);
    }

    #[test]
    fn a_good_workflow_passes() {
        check("ci.yml", "one", "two", &[]);
        check("release.yml", "one", "two", &[]);
    }

    #[test]
    fn every_job_has_limits() {
        check("ci.yml", "    timeout-minutes: 5\n", "", &["the job `one` has no timeout-minutes"]);
        check("ci.yml", "    permissions: {contents: read}\n", "", &["the job `one` does not name its permissions"]);
        check(
            "ci.yml",
            "permissions: {}",
            "permissions: read-all",
            &["say `permissions: {}` at the top; each job names its own"],
        );
    }

    #[test]
    fn what_others_have_made_is_pinned() {
        let hash = "0123456789012345678901234567890123456789";
        check(
            "ci.yml",
            &format!("{hash} # v1.0.0"),
            "v1 # v1.0.0",
            &["`actions/checkout@v1` is not pinned by a commit's 40 digits"],
        );
        let unnamed = format!("no comment tells the version of `actions/checkout@{hash}`");
        check("ci.yml", " # v1.0.0", "", &[&unnamed]);
        check("ci.yml", "@sha256:0000", ":bookworm", &["the container of the job `one` is not pinned by a digest"]);
    }

    #[test]
    fn a_superseded_run_is_cancelled() {
        check(
            "ci.yml",
            "cancel-in-progress: true",
            "cancel-in-progress: false",
            &["a run that a later one supersedes is not cancelled"],
        );
    }

    #[test]
    fn nothing_but_a_tag_starts_a_release() {
        let expected = ["a release starts by a tag that begins with v, and by nothing else"];
        check("release.yml", "tags: ['v*']", "branches: [main]", &expected);
        check("release.yml", "tags: ['v*']", "tags: ['v*']\n    branches: [main]", &expected);
        check("release.yml", "on:\n", "on:\n  workflow_dispatch:\n", &expected);
        check("release.yml", "['v*']", "['*']", &expected);
    }
}

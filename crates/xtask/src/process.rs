//! Running other programs: each is shown before it runs, in a form that can be typed again.

use std::borrow::Cow;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::config;

/// `cargo` with these arguments, as if typed by hand in a shell that has no settings of ours.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    without_foreign_variables(command.args(arguments));
    command
}

/// The command without what this process has in its environment and the program must not see.
pub(crate) fn without_foreign_variables(command: &mut Command) -> &mut Command {
    config::foreign_variables().fold(command, |command, variable| command.env_remove(variable))
}

/// Shows and runs a program whose output goes where ours goes.
///
/// # Errors
/// If it cannot be started or does not succeed; the message holds the whole command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    show(command);
    let status = command.status().with_context(|| format!("failed to start `{}`", typed(command)))?;
    expect_success(command, status)
}

/// Like [`run`], but what the program says is shown only if it does not succeed.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    show(command);
    let output = command.output().with_context(|| format!("failed to start `{}`", typed(command)))?;
    if !output.status.success() {
        eprint!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    expect_success(command, output.status)
}

/// Like [`run`], with `read_line` looking on at every line of its standard output.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_watched(command: &mut Command, mut read_line: impl FnMut(&str)) -> Result<()> {
    show(command);
    let failure = format!("failed to start `{}`", typed(command));
    let mut child = command.stdout(Stdio::piped()).spawn().context(failure)?;
    let mut output = BufReader::new(child.stdout.take().context("failed to take the output of a program")?);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        read_line(&text);
        line.clear();
    }
    let status = child.wait()?;
    expect_success(command, status)
}

/// Runs a program quietly and returns its standard output.
///
/// # Errors
/// As [`run`].
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("failed to start `{}`", typed(command)))?;
    expect_success(command, output.status)?;
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed something other than text", typed(command)))
}

fn show(command: &Command) {
    println!("    $ {}", typed(command));
}

fn expect_success(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status})", typed(command));
    }
    Ok(())
}

/// The command as one would type it, with the variables that were set for it.
fn typed(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?.to_string_lossy()))));
    let program = quoted(command.get_program().to_string_lossy()).into_owned();
    let arguments = command.get_args().map(|argument| quoted(argument.to_string_lossy()).into_owned());
    variables.chain([program]).chain(arguments).collect::<Vec<_>>().join(" ")
}

fn quoted(word: Cow<'_, str>) -> Cow<'_, str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,+".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word;
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = cargo(&["doc", "--no-deps"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(typed(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c 'exit 3'` failed (exit status: 3)");
    }

    #[test]
    fn every_line_is_watched() {
        let mut lines = Vec::new();
        run_watched(Command::new("printf").arg("one\ntwo"), |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one\n", "two"]);
    }
}

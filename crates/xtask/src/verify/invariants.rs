//! What must never be in the sources, as far as names can tell.

use std::fs;

use anyhow::{Context, Result, bail};

use super::Session;
use super::rust_paths::{self, RustPath};

/// A name that is welcome in some places only.
struct Rule {
    /// The sentence that it breaks elsewhere.
    sentence: &'static str,
    /// The names, each of them found within longer ones too: `fs::write` is in `std::fs::write`.
    names: &'static [&'static str],
    /// Whether this use, in the file of this path, is one of those places.
    allows: fn(&str, &RustPath) -> bool,
}

const RULES: &[Rule] = &[
    Rule {
        sentence: "it is only for adapters below a `devices/` folder",
        names: &["unsafe"],
        allows: |file, _| has_folder(file, "devices"),
    },
    Rule {
        sentence: "the environment is read only in `config.rs`",
        names: &["env::var", "env::var_os", "env::vars", "env::vars_os", "option_env"],
        allows: |file, _| {
            ["config.rs", "build.rs"].contains(&file_name(file))
                || ["crates/xtask/", "crates/tide-journey/"].iter().any(|folder| file.starts_with(folder))
        },
    },
    Rule {
        sentence: "SQL is only for the catalog of tide-server",
        names: &[
            "sqlx::query",
            "sqlx::query_as",
            "sqlx::query_as_with",
            "sqlx::query_scalar",
            "sqlx::query_scalar_with",
            "sqlx::query_with",
            "sqlx::raw_sql",
            "sqlx::QueryBuilder",
        ],
        allows: |file, _| {
            file.starts_with("crates/tide-server/") && (has_folder(file, "catalog") || file_name(file) == "catalog.rs")
        },
    },
    Rule {
        sentence: "files meant to last are written only through tide-durable",
        names: &["fs::write", "File::create", "File::create_new", "File::options", "OpenOptions"],
        allows: |file, path| {
            let keeps_files = ["crates/tide-server/", "crates/tide-recorder/"].iter().any(|c| file.starts_with(c));
            !keeps_files || path.in_tests || is_test_file(file) || may_write(file)
        },
    },
];

/// Where a server or a station may write to a file by itself, and why.
const MAY_WRITE: &[(&str, &str)] =
    &[("crates/tide-recorder/src/devices/", "what is written to a device is not meant to last")];

/// Reads every source file of the tree, and fails with all that breaks a rule.
pub(super) fn check(session: &mut Session) -> Result<()> {
    let root = &session.workspace.root;
    let files: Vec<String> = session.workspace.files()?.into_iter().filter(|file| file.ends_with(".rs")).collect();
    let mut broken = Vec::new();
    for file in &files {
        let source = fs::read_to_string(root.join(file)).with_context(|| format!("failed to read `{file}`"))?;
        broken.extend(broken_rules(file, &source)?);
    }
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    println!("    {} rules hold in {} files", RULES.len(), files.len());
    Ok(())
}

fn broken_rules(file: &str, source: &str) -> Result<Vec<String>> {
    let paths = rust_paths::read(source).with_context(|| format!("failed to read the tokens of `{file}`"))?;
    let breaks = |path: &RustPath| {
        let rule =
            RULES.iter().find(|rule| rule.names.iter().any(|name| is_in(name, path)) && !(rule.allows)(file, path))?;
        Some(format!("{file}:{}: `{}`, but {}", path.line, path.segments.join("::"), rule.sentence))
    };
    Ok(paths.iter().filter_map(breaks).collect())
}

/// Whether the name's segments occur in the path, one after the other.
fn is_in(name: &str, path: &RustPath) -> bool {
    let name: Vec<&str> = name.split("::").collect();
    path.segments.windows(name.len()).any(|window| window == name)
}

fn file_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}

fn has_folder(file: &str, folder: &str) -> bool {
    file.split('/').rev().skip(1).any(|part| part == folder)
}

/// Test programs, and modules that only a `#[cfg(test)]` elsewhere brings in.
fn is_test_file(file: &str) -> bool {
    has_folder(file, "tests") || ["tests.rs", "testing.rs"].contains(&file_name(file))
}

fn may_write(file: &str) -> bool {
    MAY_WRITE.iter().any(|(place, _reason)| file.starts_with(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, source: &str, expected: &[&str]) {
        assert_eq!(broken_rules(file, source).unwrap(), expected);
    }

    #[test]
    fn unsafe_is_for_device_adapters() {
        check("crates/tide-recorder/src/devices/clock.rs", "unsafe { ioctl() }", &[]);
        check("crates/tide-recorder/src/lib.rs", "#![expect(unsafe_code)] // unsafe", &[]);
        check(
            "crates/tide-recorder/src/clock.rs",
            "fn a() {\n    unsafe { ioctl() }\n}",
            &["crates/tide-recorder/src/clock.rs:2: `unsafe`, but it is only for adapters below a `devices/` folder"],
        );
    }

    #[test]
    fn the_environment_is_for_config() {
        let source = "fn a() { std::env::var_os(\"TIDE\"); }";
        let sentence = "`std::env::var_os`, but the environment is read only in `config.rs`";
        check("crates/tide-server/src/config.rs", source, &[]);
        check("crates/xtask/src/config.rs", source, &[]);
        check("crates/tide-journey/src/lib.rs", source, &[]);
        check("crates/tide-server/src/main.rs", source, &[&format!("crates/tide-server/src/main.rs:1: {sentence}")]);
        check("crates/tide-server/src/main.rs", "std::env::args(); env!(\"CARGO_PKG_VERSION\")", &[]);
    }

    #[test]
    fn an_import_counts_as_use() {
        let sentence = "`std::env::var`, but the environment is read only in `config.rs`";
        check(
            "crates/tide-server/src/a.rs",
            "use std::{env::{var}, io};",
            &[&format!("crates/tide-server/src/a.rs:1: {sentence}")],
        );
    }

    #[test]
    fn sql_is_for_the_catalog() {
        let source = "sqlx::query_as(\"select 1\")";
        let sentence = "`sqlx::query_as`, but SQL is only for the catalog of tide-server";
        check("crates/tide-server/src/catalog/photos.rs", source, &[]);
        check("crates/tide-server/src/catalog.rs", source, &[]);
        check("crates/tide-server/src/pages.rs", source, &[&format!("crates/tide-server/src/pages.rs:1: {sentence}")]);
        check(
            "crates/tide-journey/tests/catalog/a.rs",
            source,
            &[&format!("crates/tide-journey/tests/catalog/a.rs:1: {sentence}")],
        );
    }

    #[test]
    fn lasting_files_go_through_tide_durable() {
        let sentence = "but files meant to last are written only through tide-durable";
        let file = "crates/tide-server/src/photo_store.rs";
        for name in ["fs::write", "tokio::fs::File::create", "File::create_new", "OpenOptions::new"] {
            check(file, &format!("{name}(path)"), &[&format!("{file}:1: `{name}`, {sentence}")]);
        }
        check(file, "#[cfg(test)] mod tests { fn a() { std::fs::write(a, b); } }", &[]);
        check("crates/tide-server/tests/restart.rs", "std::fs::write(a, b)", &[]);
        check("crates/tide-recorder/src/devices/flash.rs", "std::fs::write(a, b)", &[]);
        check("crates/tide-durable/src/real.rs", "OpenOptions::new()", &[]);
    }
}

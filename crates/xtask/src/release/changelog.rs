//! What CHANGELOG.md says of one version, in the form of "Keep a Changelog".

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use jiff::civil::Date;

/// One version's section.
#[derive(Debug)]
pub(super) struct Section {
    version: String,
    /// What stands behind the version in the heading: a day, or that it is unreleased.
    when: String,
    text: String,
}

impl Section {
    /// Reads the section of that version.
    ///
    /// # Errors
    /// If there is none, or nothing in it.
    pub(super) fn read(file: &Path, version: &str) -> Result<Self> {
        let changelog = fs::read_to_string(file).with_context(|| format!("failed to read `{}`", file.display()))?;
        Self::parse(&changelog, version)
    }

    fn parse(changelog: &str, version: &str) -> Result<Self> {
        let heading = format!("## [{version}]");
        let mut lines = changelog.lines().skip_while(|line| !line.starts_with(&heading));
        let Some(first) = lines.next() else {
            bail!("CHANGELOG.md has no section `{heading}`: write down what version {version} changes");
        };
        let text = lines.take_while(|line| !line.starts_with("## ")).collect::<Vec<_>>().join("\n").trim().to_owned();
        if text.is_empty() {
            bail!("in CHANGELOG.md nothing stands under `{heading}`: write down what version {version} changes");
        }
        let when = first[heading.len()..].trim_matches([' ', '-']).to_owned();
        Ok(Self { version: version.to_owned(), when, text })
    }

    /// What stands under the heading.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The day of the release.
    ///
    /// # Errors
    /// If the heading has none.
    pub(super) fn date(&self) -> Result<Date> {
        let Self { version, when, .. } = self;
        let advice =
            || format!("CHANGELOG.md gives version {version} no day but `{when}`: write `## [{version}] - YYYY-MM-DD`");
        when.parse().ok().with_context(advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGELOG: &str = "# Changelog\n\n## [0.2.0] - Unreleased\n\n### Added\n\n- A gauge.\n\n\
                             ## [0.1.0] - 2026-11-30\n\n- Photos.\n\n## [0.0.1] - 2026-01-01\n";

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let section = Section::parse(CHANGELOG, "0.1.0").unwrap();
        assert_eq!(section.text(), "- Photos.");
        assert_eq!(section.date().unwrap(), jiff::civil::date(2026, 11, 30));
        assert_eq!(Section::parse(CHANGELOG, "0.2.0").unwrap().text(), "### Added\n\n- A gauge.");
    }

    #[test]
    fn what_is_unreleased_has_no_day() {
        let error = Section::parse(CHANGELOG, "0.2.0").unwrap().date().unwrap_err();
        assert!(error.to_string().ends_with("write `## [0.2.0] - YYYY-MM-DD`"), "{error}");
    }

    #[test]
    fn a_version_that_is_absent_or_says_nothing_is_refused() {
        for version in ["0.3.0", "0.1", "0.0.1"] {
            let error = Section::parse(CHANGELOG, version).unwrap_err().to_string();
            assert!(error.contains(&format!("`## [{version}]`")), "{error}");
        }
    }
}

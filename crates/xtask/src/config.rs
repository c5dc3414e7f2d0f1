//! What the environment says; nothing else in this crate reads settings from it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The settings of the developer's verbs.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// `TIDE_TEST_ALL=1`: a test that cannot run is a failure.
    pub(crate) test_all: bool,
    /// `CI=true`: the tree must be committed whole.
    pub(crate) is_ci: bool,
    /// `TIDE_CACHE`: a folder that outlives the target folder.
    pub(crate) cache: Option<PathBuf>,
    /// `PATH`: where programs are looked for.
    pub(crate) path: OsString,
}

impl Config {
    /// The settings of this process.
    pub(crate) fn from_environment() -> Self {
        Self::from_variables(|name| env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        Self {
            test_all: variable("TIDE_TEST_ALL").is_some_and(|value| value == "1"),
            is_ci: variable("CI").is_some_and(|value| value == "true"),
            cache: variable("TIDE_CACHE").filter(|value| !value.is_empty()).map(PathBuf::from),
            path: variable("PATH").unwrap_or_default(),
        }
    }
}

/// The variables that `cargo run` sets for this package. A build that inherited them would compile again what watches
/// them (ring does), and so would the next build that is typed by hand.
pub(crate) fn variables_of_this_package() -> impl Iterator<Item = OsString> {
    env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Config {
        Config::from_variables(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn an_empty_environment_asks_for_nothing() {
        let config = config(&[]);
        assert!(!config.test_all && !config.is_ci && config.cache.is_none());
    }

    #[test]
    fn only_the_documented_values_count() {
        assert!(config(&[("TIDE_TEST_ALL", "1"), ("CI", "true")]).test_all);
        assert!(!config(&[("TIDE_TEST_ALL", "0"), ("CI", "false")]).test_all);
        assert!(!config(&[("CI", "false")]).is_ci);
        assert_eq!(config(&[("TIDE_CACHE", "")]).cache, None);
        assert_eq!(config(&[("TIDE_CACHE", "/c")]).cache, Some(PathBuf::from("/c")));
    }
}

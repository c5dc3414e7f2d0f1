//! What the environment says; nothing else in this crate reads settings from it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The settings of the developer's verbs.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// `TIDE_TEST_ALL=1`: a test that cannot run is a failure.
    pub(crate) test_all: bool,
    /// `TIDE_TEST_BOOT=1`: the card image is booted, too.
    pub(crate) test_boot: bool,
    /// `CI=true`: the tree must be committed whole.
    pub(crate) is_ci: bool,
    /// `TIDE_CACHE`: a folder that outlives the target folder.
    pub(crate) cache: Option<PathBuf>,
    /// `RPI_IMAGE_GEN`: a checkout of the tool that builds the images for a Pi.
    pub(crate) rpi_image_gen: Option<PathBuf>,
    /// `PATH`: where programs are looked for.
    pub(crate) path: OsString,
    /// `NO_PROXY` with this computer added, if there is a proxy.
    pub(crate) no_proxy: Option<String>,
}

/// Settings of a server or a station whose names do not begin with `TIDE_`: the prototype's.
const PROTOTYPE: &[&str] = &[
    "ADMIN_PASS",
    "ADMIN_USER",
    "FLASH_GPIO",
    "PHOTO_INTERVAL",
    "SECRET_KEY",
    "SERVER_URL",
    "SSL_CERT_PATH",
    "SSL_KEY_PATH",
];

/// Variables that name a proxy, each known in lower case too.
const PROXIES: &[&str] = &["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"];

/// The names of this computer, which a proxy would take for its own.
const THIS_COMPUTER: &str = "localhost,127.0.0.1";

impl Config {
    /// The settings of this process.
    pub(crate) fn from_environment() -> Self {
        Self::from_variables(|name| env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        Self {
            test_all: variable("TIDE_TEST_ALL").is_some_and(|value| value == "1"),
            test_boot: variable("TIDE_TEST_BOOT").is_some_and(|value| value == "1"),
            is_ci: variable("CI").is_some_and(|value| value == "true"),
            cache: variable("TIDE_CACHE").filter(|value| !value.is_empty()).map(PathBuf::from),
            rpi_image_gen: variable("RPI_IMAGE_GEN").filter(|value| !value.is_empty()).map(PathBuf::from),
            path: variable("PATH").unwrap_or_default(),
            no_proxy: no_proxy(&variable),
        }
    }

    /// What tests see beside what everything sees: whether all of them must run, and how to reach the servers that they start.
    pub(crate) fn variables_for_tests(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let test_all = self.test_all.then_some(("TIDE_TEST_ALL", "1"));
        let direct = self.no_proxy.as_deref();
        test_all.into_iter().chain(["NO_PROXY", "no_proxy"].into_iter().zip(direct.into_iter().cycle()))
    }
}

fn no_proxy(variable: &impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let either_case = |name: &str| {
        let value = variable(&name.to_ascii_lowercase()).or_else(|| variable(name));
        value.filter(|value| !value.is_empty())
    };
    PROXIES.iter().find_map(|proxy| either_case(proxy))?;
    match either_case("NO_PROXY") {
        None => Some(THIS_COMPUTER.to_owned()),
        // The star means every address, but only where it stands alone.
        Some(none) if none == "*" => None,
        Some(others) => Some(format!("{},{THIS_COMPUTER}", others.to_string_lossy())),
    }
}

/// The variables of this process that no program started here may see.
pub(crate) fn foreign_variables() -> impl Iterator<Item = OsString> {
    env::vars_os().map(|(name, _)| name).filter(|name| is_foreign(&name.to_string_lossy()))
}

/// Settings that the user's shell has for a server or station of its own. And what `cargo run` sets for this package: a build
/// that inherited it would compile again what watches it (ring does), and so would the next build that is typed by hand.
fn is_foreign(name: &str) -> bool {
    let is_setting = name.starts_with("TIDE_") || PROTOTYPE.contains(&name.strip_suffix("_FILE").unwrap_or(name));
    let is_of_this_package = ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix));
    is_setting || is_of_this_package || name == "CARGO_BIN_NAME"
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

    #[test]
    fn the_users_own_settings_are_kept_away_and_nothing_else() {
        for name in
            ["TIDE_CONFIG", "TIDE_TEST_ALL", "ADMIN_PASS_FILE", "SERVER_URL", "CARGO_PKG_NAME", "CARGO_BIN_NAME"]
        {
            assert!(is_foreign(name), "{name}");
        }
        for name in ["PATH", "HOME", "SSL_CERT_FILE", "CARGO_TARGET_DIR", "RUSTFLAGS", "MY_TIDE_X", "TMPDIR"] {
            assert!(!is_foreign(name), "{name}");
        }
    }

    #[test]
    fn tests_see_what_they_need() {
        let seen = |variables: &[(&str, &str)]| {
            let config = config(variables);
            config.variables_for_tests().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert!(seen(&[("TIDE_TEST_ALL", "0"), ("NO_PROXY", "intranet")]).is_empty());
        assert_eq!(seen(&[("TIDE_TEST_ALL", "1")]), ["TIDE_TEST_ALL=1"]);
        let both = |value: &str| [format!("NO_PROXY={value}"), format!("no_proxy={value}")];
        assert_eq!(seen(&[("https_proxy", "http://p:1")]), both("localhost,127.0.0.1"));
        let proxies = [("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "intranet")];
        assert_eq!(seen(&proxies), both("intranet,localhost,127.0.0.1"));
        assert!(seen(&[("ALL_PROXY", "http://p:1"), ("no_proxy", "*")]).is_empty());
    }
}

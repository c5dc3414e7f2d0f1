//! Whether a test that cannot run here fails.

/// Whether every test has to run, as in CI.
pub(super) fn must_all_run() -> bool {
    std::env::var_os("TIDE_TEST_ALL").is_some()
}

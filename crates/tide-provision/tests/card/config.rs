//! What the environment says to these tests.

/// Whether a test that cannot run is a failure.
pub(crate) fn everything() -> bool {
    std::env::var_os("TIDE_TEST_ALL").is_some()
}

//! Which of our crates may know which.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::Session;
use crate::workspace::Package;

/// Each crate, and the crates of ours that it may name. Leaves are strangers among themselves, and so are programs;
/// nothing may know the journeys or the developer's verbs.
const ARROWS: &[(&str, &[&str])] = &[
    ("tide-photo", &[]),
    ("tide-durable", &[]),
    ("tide-settings", &[]),
    ("tide-provision", &["tide-photo", "tide-durable", "tide-settings"]),
    ("tide-recorder", &["tide-photo", "tide-durable", "tide-settings"]),
    ("tide-server", &["tide-photo", "tide-durable", "tide-settings"]),
    ("tide-timesync", &["tide-photo", "tide-durable", "tide-settings"]),
    (
        "tide-journey",
        &[
            "tide-photo",
            "tide-durable",
            "tide-settings",
            "tide-provision",
            "tide-recorder",
            "tide-server",
            "tide-timesync",
        ],
    ),
    ("xtask", &[]),
];

/// Fails at an arrow that is not in the table.
pub(super) fn check(session: &mut Session) -> Result<()> {
    let wrong: Vec<String> = session.workspace.packages.iter().flat_map(wrong_arrows).collect();
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

fn wrong_arrows(package: &Package) -> Vec<String> {
    let name = &package.name;
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
        return vec![format!("`{name}` is a new crate: say in {} which crates it may depend on", file!())];
    };
    let allowed: BTreeSet<String> = allowed.iter().map(ToString::to_string).collect();
    package.uses.difference(&allowed).map(|used| format!("`{name}` must not depend on `{used}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, uses: &[&str], expected: &[&str]) {
        let uses = uses.iter().map(ToString::to_string).collect();
        assert_eq!(wrong_arrows(&Package { name: name.to_owned(), uses, tests: Vec::new() }), expected);
    }

    #[test]
    fn downwards_is_fine() {
        check("tide-server", &["tide-photo", "tide-durable"], &[]);
        check("tide-journey", &["tide-server", "tide-recorder"], &[]);
    }

    #[test]
    fn sideways_and_upwards_are_not() {
        check("tide-server", &["tide-recorder"], &["`tide-server` must not depend on `tide-recorder`"]);
        check("tide-photo", &["tide-durable"], &["`tide-photo` must not depend on `tide-durable`"]);
        check("tide-recorder", &["xtask"], &["`tide-recorder` must not depend on `xtask`"]);
    }

    #[test]
    fn a_new_crate_has_to_find_its_place() {
        assert!(
            wrong_arrows(&Package { name: "tide-new".to_owned(), uses: BTreeSet::new(), tests: vec![] })[0]
                .contains("new")
        );
    }
}

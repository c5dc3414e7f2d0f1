//! The machine's id: made once, and kept where an image's read-only root cannot keep it.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use tide_durable::{Durable, IfExists};

use crate::config::MachineIdPlaces;

/// Makes the id if there is none, or none that can be used. The one that systemd made for this boot is kept, since the journal
/// of this boot lies under it already.
///
/// # Errors
/// If there is nothing to make it from, or it cannot be kept.
pub fn make(places: &MachineIdPlaces) -> anyhow::Result<()> {
    let path = places.data.join("machine-id");
    if id_in(&path).is_some() {
        return Ok(());
    }
    let Some(id) = id_in(&places.transient).or_else(|| id_in(&places.random)) else {
        bail!("neither {} nor {} holds an id", places.transient.display(), places.random.display());
    };
    let durable = Durable::open(&places.data).with_context(|| format!("failed to use {}", places.data.display()))?;
    let file = durable.root().join("machine-id");
    durable
        .publish(&file, format!("{id}\n").as_bytes(), IfExists::Replace)
        .with_context(|| format!("failed to write {}", path.display()))?;
    eprintln!("tide-provision: this machine's id is {id} from now on");
    Ok(())
}

/// The id in a file: 32 hexadecimal digits (machine-id(5)), also as a UUID with hyphens; all zeros are none.
fn id_in(path: &Path) -> Option<String> {
    let id = fs::read_to_string(path).ok()?.trim().replace('-', "");
    let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_id && id.bytes().any(|byte| byte != b'0')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let [transient, random] = ["transient", "random"].map(|name| folder.path().join(name));
        let places =
            MachineIdPlaces { data: folder.path().join("data"), transient: transient.clone(), random: random.clone() };
        let kept = || fs::read_to_string(folder.path().join("data/machine-id")).unwrap();
        assert!(make(&places).is_err());
        fs::write(&random, "b74e1a0b-7a1c-4b57-a3b6-4cbc9c9d7a01\n").unwrap();
        fs::write(&transient, "uninitialized\n").unwrap();
        make(&places).unwrap();
        assert_eq!(kept(), "b74e1a0b7a1c4b57a3b64cbc9c9d7a01\n");
        fs::write(&transient, "0123456789abcdef0123456789abcdef\n").unwrap();
        make(&places).unwrap();
        assert_eq!(kept(), "b74e1a0b7a1c4b57a3b64cbc9c9d7a01\n");
        // Cut off, as by a disk that lost it.
        fs::write(folder.path().join("data/machine-id"), "").unwrap();
        make(&places).unwrap();
        assert_eq!(kept(), "0123456789abcdef0123456789abcdef\n");
    }
}

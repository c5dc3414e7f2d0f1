//! The same promises on the machine's own file system, as far as they can be seen without a power cut.

use std::fs;
use std::io::{self, Read, Write};

use tide_durable::{Durable, IfExists};

#[test]
fn a_published_file_is_whole_and_alone() {
    let root = tempfile::tempdir().unwrap();
    let durable = Durable::open(root.path()).unwrap();
    let path = durable.root().join("photos/2026/one.jpg");
    durable.publish(&path, b"photo", IfExists::Refuse).unwrap();
    assert_eq!(durable.read(&path).unwrap(), b"photo");
    assert_eq!(durable.list(path.parent().unwrap()).unwrap().len(), 1);
}

#[test]
fn nothing_is_overwritten_unless_asked() {
    let root = tempfile::tempdir().unwrap();
    let durable = Durable::open(root.path()).unwrap();
    let path = durable.root().join("one.jpg");
    durable.publish(&path, b"first", IfExists::Refuse).unwrap();
    let error = durable.publish(&path, b"second", IfExists::Refuse).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(durable.read(&path).unwrap(), b"first");
    durable.publish(&path, b"third", IfExists::Replace).unwrap();
    assert_eq!(durable.read(&path).unwrap(), b"third");
    assert_eq!(durable.list(durable.root()).unwrap().len(), 1, "no unfinished file is left");
}

#[test]
fn an_abandoned_draft_is_gone_and_an_interrupted_one_is_swept() {
    let root = tempfile::tempdir().unwrap();
    let durable = Durable::open(root.path()).unwrap();
    let mut draft = durable.draft(durable.root()).unwrap();
    draft.write_all(b"half").unwrap();
    drop(draft);
    assert_eq!(durable.list(durable.root()).unwrap().len(), 0);

    fs::write(durable.root().join("77-0.part"), b"left by a power cut").unwrap();
    fs::write(durable.root().join("kept.jpg"), b"photo").unwrap();
    assert_eq!(durable.sweep(durable.root()).unwrap(), 1);
    assert_eq!(durable.list(durable.root()).unwrap().len(), 1);
    assert_eq!(durable.sweep(&durable.root().join("absent")).unwrap(), 0);
}

#[test]
fn a_file_outside_the_folder_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let durable = Durable::open(&root.path().join("data")).unwrap();
    let error = durable.publish(&root.path().join("elsewhere/x"), b"x", IfExists::Refuse).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_folder_is_had_alone_until_let_go() {
    let root = tempfile::tempdir().unwrap();
    let durable = Durable::open(root.path()).unwrap();
    let alone = durable.claim_alone().unwrap();
    let second = Durable::open(root.path()).unwrap().claim_alone();
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(alone);
    Durable::open(root.path()).unwrap().claim_alone().unwrap();
}

#[test]
fn a_folder_that_somebody_removed_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let durable = Durable::open(&root.path().join("not/there/yet")).unwrap();
    let path = durable.root().join("thumbnails/pier-3/2026/one.jpg");
    for _ in 0..2 {
        // Written beside its place, and written elsewhere.
        durable.publish(&path, b"small", IfExists::Refuse).unwrap();
        fs::remove_dir_all(durable.root().join("thumbnails")).unwrap();
        let draft = durable.draft(&durable.root().join("incoming")).unwrap();
        draft.publish(&path, IfExists::Refuse).unwrap();
        fs::remove_dir_all(durable.root().join("thumbnails")).unwrap();
    }
}

#[test]
fn an_unfinished_file_with_a_name_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let durable = Durable::open(folder.path()).unwrap();
    let (growing, place) = (durable.root().join("growing"), durable.root().join("photos/one.jpg"));
    durable.publish(&growing, b"", IfExists::Refuse).unwrap();
    durable.resume(&growing).unwrap().0.write_all(b"pho").unwrap();
    let (mut draft, length_bytes) = durable.resume(&growing).unwrap();
    draft.write_all(b"to").unwrap();
    let mut read_back = String::new();
    draft.read_back().unwrap().read_to_string(&mut read_back).unwrap();
    assert_eq!((length_bytes, read_back.as_str()), (3, "photo"));
    draft.publish(&place, IfExists::Refuse).unwrap();
    assert_eq!(std::fs::read(place).unwrap(), b"photo");
    assert_eq!(durable.resume(&growing).err().unwrap().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_secret_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let durable = Durable::open(folder.path()).unwrap();
    let path = durable.root().join("token");
    fs::write(&path, "readable by all").unwrap();
    durable.publish_private(&path, b"secret", IfExists::Replace).unwrap();
    assert_eq!(durable.read(&path).unwrap(), b"secret");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

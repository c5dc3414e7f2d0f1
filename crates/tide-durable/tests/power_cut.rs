//! The power is cut before every step of a series of publishings, with every way that the disk may have dealt with what was
//! still on its way; the same after the process was killed and another one went on; then each sync is left out once, and the same search must find the loss.

#![expect(clippy::unwrap_used, reason = "a test ends where its ground is missing")]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tide_durable::testing::{CrashDisk, Outcome, search_cuts, search_cuts_after_kill};
use tide_durable::{Disk, Durable, IfExists, PART_SUFFIX};

const ROOT: &str = "/data";

/// What publishing promised, noted by the one who called it.
#[derive(Default)]
struct Ledger {
    /// Publishings that returned Ok: this or something later is there after any cut.
    acknowledged: BTreeMap<PathBuf, usize>,
    /// Everything ever tried under a name, in order: no other bytes may ever be seen there.
    tried: BTreeMap<PathBuf, Vec<Vec<u8>>>,
}

impl Ledger {
    fn publish(&mut self, durable: &Durable, name: &str, bytes: &[u8], if_exists: IfExists) -> io::Result<()> {
        let path = Path::new(ROOT).join(name);
        let versions = self.tried.entry(path.clone()).or_default();
        versions.push(bytes.to_vec());
        let version = versions.len() - 1;
        // In pieces, as a photo comes from the network.
        let mut draft = durable.draft(&Path::new(ROOT).join("incoming"))?;
        for piece in bytes.chunks(4) {
            draft.write_all(piece)?;
        }
        match draft.publish(&path, if_exists) {
            // Found after a restart, as the server finds a photo that is offered again.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => durable.settle(&path)?,
            result => result?,
        }
        self.acknowledged.insert(path, version);
        Ok(())
    }
}

/// Photos in old and new folders, and a file that is replaced. Stops at the cut.
fn publish_series(disk: &CrashDisk, ledger: &mut Ledger) {
    let durable = Durable::on(Arc::new(disk.clone()), Path::new(ROOT));
    let mut run = || {
        ledger.publish(&durable, "photos/2026/05/31/one.jpg", b"the first photo", IfExists::Refuse)?;
        ledger.publish(&durable, "photos/2026/05/31/two.jpg", b"the second photo", IfExists::Refuse)?;
        ledger.publish(&durable, "photos/2026/06/01/three.jpg", b"the third photo", IfExists::Refuse)?;
        ledger.publish(&durable, "certificate.pem", b"old certificate", IfExists::Replace)?;
        ledger.publish(&durable, "certificate.pem", b"new certificate", IfExists::Replace)
    };
    let result: io::Result<()> = run();
    assert_eq!(result.is_err(), disk.is_cut(), "only the cut may fail a publishing: {result:?}");
}

/// What is wrong on the disk that the next program finds.
fn broken_promises(found: &CrashDisk, ledger: &Ledger) -> Vec<String> {
    let durable = Durable::on(Arc::new(found.clone()), Path::new(ROOT));
    durable.sweep(&Path::new(ROOT).join("incoming")).unwrap();
    let files = found.files();
    let mut broken = Vec::new();
    for (path, version) in &ledger.acknowledged {
        let allowed = &ledger.tried[path][*version..];
        if !files.get(path).is_some_and(|bytes| allowed.contains(bytes)) {
            broken.push(format!("{} was acknowledged and is lost", path.display()));
        }
    }
    for (path, bytes) in &files {
        if path.to_string_lossy().ends_with(PART_SUFFIX) {
            broken.push(format!("{} was not swept", path.display()));
        } else if !ledger.tried.get(path).is_some_and(|versions| versions.contains(bytes)) {
            broken.push(format!("{} holds {} bytes that nobody published", path.display(), bytes.len()));
        }
    }
    broken
}

fn empty_disk() -> CrashDisk {
    CrashDisk::with_folder(Path::new(ROOT))
}

#[test]
fn no_cut_breaks_a_promise() {
    let found = search_cuts(empty_disk, publish_series, broken_promises);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_cut_after_a_kill_breaks_a_promise() {
    let found = search_cuts_after_kill(empty_disk, publish_series, broken_promises);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_single_sync_is_needed() {
    let whole = empty_disk();
    publish_series(&whole, &mut Ledger::default());
    assert!(whole.syncs() > 10, "the series has only {} syncs", whole.syncs());
    for sync in 0..whole.syncs() {
        // The first draft's folder holds nothing that was promised; only the drafts themselves, which may all go.
        let is_incoming_folder = sync == 0;
        let found = search_cuts(|| empty_disk().skip_sync(sync), publish_series, broken_promises);
        assert_eq!(found.is_empty(), is_incoming_folder, "leaving out sync {sync} of {} is not noticed", whole.syncs());
    }
}

#[test]
fn an_existing_file_is_settled_by_the_next_process() {
    let path = Path::new(ROOT).join("photos/one.jpg");
    let first = empty_disk();
    let interrupted = Durable::on(Arc::new(first.clone()), Path::new(ROOT));
    let mut draft = interrupted.draft(&Path::new(ROOT).join("photos")).unwrap();
    draft.write_all(b"photo").unwrap();
    // Cut before the last step, which forces the folder: the name is visible but not yet certain.
    let cut = first.clone().cut_before(first.steps() + 2);
    draft.publish(&path, IfExists::Refuse).unwrap_err();
    let next = cut.after_kill();
    assert!(next.after_power_cut(Outcome::Nothing).files().is_empty(), "there is nothing to settle");
    Durable::on(Arc::new(next.clone()), Path::new(ROOT)).settle(&path).unwrap();
    assert_eq!(next.after_power_cut(Outcome::Nothing).files().get(&path).map(Vec::as_slice), Some(b"photo".as_slice()));
}

#[test]
fn a_moved_file_keeps_exactly_its_new_name() {
    let [from, to] = ["photos/one.jpg", "aside/photos/one.jpg"].map(|name| Path::new(ROOT).join(name));
    let moved = |disk: CrashDisk| {
        let durable = Durable::on(Arc::new(disk.clone()), Path::new(ROOT));
        durable.publish(&from, b"photo", IfExists::Refuse).unwrap();
        let before = disk.syncs();
        durable.move_to(&from, &to, IfExists::Refuse).unwrap();
        (disk, before)
    };
    let is_there = |disk: &CrashDisk| {
        Outcome::all().all(|outcome| {
            let files = disk.after_power_cut(outcome).files();
            files.get(&to).is_some_and(|bytes| bytes == b"photo") && !files.contains_key(&from)
        })
    };
    let (whole, before) = moved(empty_disk());
    assert!(is_there(&whole));
    for sync in before..whole.syncs() {
        assert!(!is_there(&moved(empty_disk().skip_sync(sync)).0), "leaving out sync {sync} is not noticed");
    }
}

#[test]
fn every_folder_above_the_root_is_forced_to_the_disk() {
    let root = Path::new("/srv/tide/data");
    let disk = CrashDisk::with_folder(Path::new("/srv"));
    for made in ["/srv/tide", "/srv/tide/data"] {
        disk.create_folder(Path::new(made)).unwrap();
    }
    let durable = Durable::on(Arc::new(disk.clone()), root);
    durable.settle_root().unwrap();
    durable.publish(&root.join("one.jpg"), b"photo", IfExists::Refuse).unwrap();
    assert!(disk.after_power_cut(Outcome::Nothing).files().contains_key(&root.join("one.jpg")));
}

/// A file that grows over several drafts, as an upload does over several connections, and is published in the end. Stops at the
/// cut. The ledger says whether the publishing was acknowledged.
fn grow_and_publish(disk: &CrashDisk, acknowledged: &mut bool) {
    let durable = Durable::on(Arc::new(disk.clone()), Path::new(ROOT));
    let (growing, place) = (Path::new(ROOT).join("growing/one"), Path::new(ROOT).join("photos/one.jpg"));
    let run = || {
        durable.publish(&growing, b"", IfExists::Refuse)?;
        for (piece, before) in [(b"the ", 0), (b"one ", 4), (b"phot", 8)] {
            let (mut draft, length_bytes) = durable.resume(&growing)?;
            assert_eq!(length_bytes, before);
            draft.write_all(piece)?;
        }
        durable.resume(&growing)?.0.publish(&place, IfExists::Refuse)
    };
    let result: io::Result<()> = run();
    assert_eq!(result.is_err(), disk.is_cut(), "only the cut may fail: {result:?}");
    *acknowledged = result.is_ok();
}

#[test]
fn a_file_that_grew_over_several_drafts_is_whole_once_published() {
    let judge = |found: &CrashDisk, acknowledged: &bool| {
        let files = found.files();
        let whole = files.get(&Path::new(ROOT).join("photos/one.jpg")).is_some_and(|bytes| bytes == b"the one phot");
        let growing = files.get(&Path::new(ROOT).join("growing/one"));
        let strange = growing.filter(|bytes| !b"the one phot".starts_with(bytes));
        let lost = (*acknowledged && !whole).then(|| "the file was acknowledged and is lost".to_owned());
        lost.into_iter().chain(strange.map(|bytes| format!("{} strange bytes", bytes.len()))).collect()
    };
    let found = search_cuts(empty_disk, grow_and_publish, judge);
    assert!(found.is_empty(), "{}", found.join("\n"));
    let whole = empty_disk();
    grow_and_publish(&whole, &mut false);
    // Before the last, which forces the folder: the one that forces the bytes.
    let bytes = whole.syncs() - 2;
    assert!(!search_cuts(|| empty_disk().skip_sync(bytes), grow_and_publish, judge).is_empty(), "not needed");
}

//! One forcing of a folder for all who wait for it: many files that are published in a folder at the same time need not each
//! wait for a forcing of their own.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The folders that are being forced to the disk at this moment.
#[derive(Default)]
pub(crate) struct FolderSyncs {
    folders: Mutex<HashMap<PathBuf, Rounds>>,
    ended: Condvar,
}

/// The forcings of one folder, one after the other, counted from 1.
#[derive(Default)]
struct Rounds {
    begun: u64,
    ended: u64,
    failed: Vec<u64>,
    /// How many are in [`FolderSyncs::sync`]; the last one forgets the folder.
    users: usize,
}

impl FolderSyncs {
    /// Returns when `sync` has forced the folder once, from its beginning, after this call: by this caller or by another. What
    /// was done in the folder before the call is then on the disk.
    ///
    /// # Errors
    /// That forcing's, for everybody who waited for it.
    pub(crate) fn sync(&self, folder: &Path, sync: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut folders = self.lock();
        let rounds = folders.entry(folder.to_owned()).or_default();
        rounds.users += 1;
        // One that has begun already may have passed by what this caller did.
        let mine = rounds.begun + 1;
        let outcome = loop {
            let rounds = folders.entry(folder.to_owned()).or_default();
            if rounds.ended >= mine {
                let failed = rounds.failed.contains(&mine);
                break if failed {
                    Err(io::Error::other(format!("failed to sync {}", folder.display())))
                } else {
                    Ok(())
                };
            }
            if rounds.begun > rounds.ended {
                folders = self.ended.wait(folders).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            rounds.begun += 1;
            let round = rounds.begun;
            drop(folders);
            let outcome = sync();
            folders = self.lock();
            let rounds = folders.entry(folder.to_owned()).or_default();
            rounds.ended = round;
            if outcome.is_err() {
                rounds.failed.push(round);
            }
            self.ended.notify_all();
            break outcome;
        };
        if let Some(rounds) = folders.get_mut(folder) {
            rounds.users -= 1;
            if rounds.users == 0 {
                folders.remove(folder);
            }
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Rounds>> {
        // Nothing between lock and unlock can panic half way.
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Only a broken build needs it.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

    #[test]
    fn who_comes_while_a_folder_is_forced_shares_the_next_forcing() {
        for fails in [false, true] {
            let (syncs, count) = (FolderSyncs::default(), AtomicU32::new(0));
            let (begun, has_begun) = mpsc::channel();
            let (release, released) = mpsc::channel::<()>();
            let released = Mutex::new(released);
            let folder = Path::new("/photos");
            let slow = || {
                count.fetch_add(1, Ordering::Relaxed);
                begun.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
                if fails { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
            };
            thread::scope(|scope| {
                let first = scope.spawn(|| syncs.sync(folder, slow));
                has_begun.recv().unwrap();
                // Too late for the first: these wait for one that begins after they came.
                let others: Vec<_> = (0..8).map(|_| scope.spawn(|| syncs.sync(folder, slow))).collect();
                while syncs.lock().get(folder).unwrap().users < 9
                    && !others.iter().any(thread::ScopedJoinHandle::is_finished)
                {
                    thread::yield_now();
                }
                release.send(()).unwrap();
                has_begun.recv_timeout(PATIENCE).expect("a second forcing");
                release.send(()).unwrap();
                assert_eq!(first.join().unwrap().is_err(), fails);
                assert!(others.into_iter().all(|other| other.join().unwrap().is_err() == fails), "all learn of it");
            });
            assert_eq!(count.into_inner(), 2);
            assert!(syncs.lock().is_empty(), "nothing is remembered");
        }
    }
}

//! How many photos may be on their way in at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Each upload needs up to 256 KiB of memory, with its connection.
const UPLOADS_AT_ONCE: usize = 192;

/// Of these, for one station: a token in wrong hands, or a station gone wild, leaves room for the others.
const UPLOADS_PER_STATION: usize = UPLOADS_AT_ONCE / 2;

/// Places for uploads. Clones share them.
#[derive(Clone, Default)]
pub struct UploadSlots(Arc<Mutex<HashMap<i64, usize>>>);

/// One upload's place, until it is dropped.
pub(super) struct UploadSlot {
    slots: UploadSlots,
    station_id: i64,
}

impl UploadSlots {
    /// All free.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a place for a station's upload; `None` if there is none.
    pub(super) fn take(&self, station_id: i64) -> Option<UploadSlot> {
        let mut taken = self.lock();
        let of_station = taken.get(&station_id).copied().unwrap_or(0);
        if of_station >= UPLOADS_PER_STATION || taken.values().sum::<usize>() >= UPLOADS_AT_ONCE {
            return None;
        }
        taken.insert(station_id, of_station + 1);
        Some(UploadSlot { slots: self.clone(), station_id })
    }

    /// Whether nobody is uploading at this moment: time for work that can wait.
    pub fn are_all_free(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, usize>> {
        // Nothing between lock and unlock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UploadSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        if let Some(of_station) = taken.get_mut(&self.station_id) {
            *of_station -= 1;
            if *of_station == 0 {
                taken.remove(&self.station_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_station_leaves_room_for_others_and_all_places_are_given_back() {
        let slots = UploadSlots::new();
        let take_all = |station_id| std::iter::from_fn(|| slots.take(station_id)).collect::<Vec<_>>();
        let wild = take_all(1);
        assert_eq!(wild.len(), UPLOADS_PER_STATION);
        let others: Vec<_> = [take_all(2), take_all(3)].into_iter().flatten().collect();
        assert_eq!(wild.len() + others.len(), UPLOADS_AT_ONCE);
        assert!(!slots.are_all_free());
        drop((wild, others));
        assert!(slots.are_all_free());
    }
}

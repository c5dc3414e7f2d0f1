//! Which waiting photo is offered next.
//!
//! The policy: while the link is young (the connection failed less than a minute ago, or the recorder has just started) the
//! newest photo goes first, because that is what people look at and the link may not last; after that newest and oldest take
//! turns, so that the backlog drains while a photo just taken waits for at most two others.
//!
//! Several may be under way at the same time. One of these places is never given to the backlog, so that old photos which are
//! slow to go do not keep a new one waiting.
//!
//! A photo that could not be delivered although the server answers, or that could not be read, is deferred, so that it does not
//! hold up the others: it gets its next turn after ten others were delivered, or when only deferred ones are left. One that met
//! a server which had no time for any photo is deferred until one other was delivered.

use std::collections::{BTreeMap, BTreeSet};

/// Deliveries that a deferred photo lets pass. Few enough that one which met a server in restart comes soon, many enough that
/// photos which never go through cost little.
const PATIENCE: u64 = 10;

/// The same for a photo of which nothing is known but that the server was busy.
const PATIENCE_WHEN_BUSY: u64 = 1;

/// The photos that wait, as the agenda sees them: in the order of their numbers, from either end.
pub trait Waiting {
    /// How many wait.
    fn len(&self) -> usize;

    /// Whether a photo of this number waits.
    fn contains(&self, sequence: u64) -> bool;

    /// The highest number for which `skip` is not true.
    fn newest(&self, skip: &dyn Fn(u64) -> bool) -> Option<u64>;

    /// The lowest number for which `skip` is not true.
    fn oldest(&self, skip: &dyn Fn(u64) -> bool) -> Option<u64>;

    /// Whether none waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Waiting for BTreeSet<u64> {
    fn len(&self) -> usize {
        self.len()
    }

    fn contains(&self, sequence: u64) -> bool {
        self.contains(&sequence)
    }

    fn newest(&self, skip: &dyn Fn(u64) -> bool) -> Option<u64> {
        self.iter().rev().copied().find(|sequence| !skip(*sequence))
    }

    fn oldest(&self, skip: &dyn Fn(u64) -> bool) -> Option<u64> {
        self.iter().copied().find(|sequence| !skip(*sequence))
    }
}

/// What is remembered from offer to offer. Whether the link is young comes from outside.
#[derive(Debug)]
pub struct Agenda {
    places: usize,
    offers: u64,
    deliveries: u64,
    under_way: BTreeMap<u64, Turn>,
    /// Deferred photos, each with the number of deliveries after which it may be offered again.
    deferred: BTreeMap<u64, u64>,
}

/// Whose turn an offer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Newest,
    Oldest,
}

impl Agenda {
    /// For so many photos under way at the same time.
    pub fn new(places: usize) -> Self {
        Self { places, offers: 0, deliveries: 0, under_way: BTreeMap::new(), deferred: BTreeMap::new() }
    }

    /// How many photos are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether one more may be.
    pub fn has_a_place(&self) -> bool {
        self.under_way.len() < self.places
    }

    /// The next photo to offer of those `waiting`, which is under way from now on; `None` if there is none.
    pub fn choose(&mut self, waiting: &dyn Waiting, link_is_young: bool) -> Option<u64> {
        self.deferred.retain(|sequence, until| *until > self.deliveries && waiting.contains(*sequence));
        let taken = self.under_way.keys().filter(|sequence| !self.deferred.contains_key(sequence));
        if self.deferred.len() + taken.count() >= waiting.len() {
            self.deferred.clear();
        }
        let turn = self.turn(link_is_young);
        let skip = |sequence| self.deferred.contains_key(&sequence) || self.under_way.contains_key(&sequence);
        let chosen = match turn {
            Turn::Newest => waiting.newest(&skip),
            Turn::Oldest => waiting.oldest(&skip),
        }?;
        self.under_way.insert(chosen, turn);
        self.offers += 1;
        Some(chosen)
    }

    /// A photo was delivered, or parked.
    pub fn delivered(&mut self, sequence: u64) {
        self.under_way.remove(&sequence);
        self.deliveries += 1;
    }

    /// The others go before this photo.
    pub fn defer(&mut self, sequence: u64) {
        self.under_way.remove(&sequence);
        self.deferred.insert(sequence, self.deliveries + PATIENCE);
    }

    /// Another goes before this photo.
    pub fn defer_shortly(&mut self, sequence: u64) {
        self.under_way.remove(&sequence);
        self.deferred.insert(sequence, self.deliveries + PATIENCE_WHEN_BUSY);
    }

    /// The offer says nothing about this photo.
    pub fn put_back(&mut self, sequence: u64) {
        self.under_way.remove(&sequence);
    }

    fn turn(&self, link_is_young: bool) -> Turn {
        let of_the_backlog = self.under_way.values().filter(|turn| **turn == Turn::Oldest).count();
        // With a single place they can only take turns.
        let is_last_place = self.places > 1 && of_the_backlog + 1 >= self.places;
        let newest_first = link_is_young || is_last_place || self.offers.is_multiple_of(2);
        if newest_first { Turn::Newest } else { Turn::Oldest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which photos go while one more is taken after every third offer.
    fn order(link_is_young: bool) -> Vec<u64> {
        let mut waiting: BTreeSet<u64> = (1..=4).collect();
        let (mut agenda, mut order) = (Agenda::new(1), Vec::new());
        for turn in 0..5 {
            let chosen = agenda.choose(&waiting, link_is_young).unwrap();
            waiting.remove(&chosen);
            agenda.delivered(chosen);
            order.push(chosen);
            if turn == 2 {
                waiting.insert(10);
            }
        }
        order
    }

    #[test]
    fn a_young_link_carries_the_newest_first() {
        assert_eq!(order(true), [4, 3, 2, 10, 1]);
    }

    #[test]
    fn later_the_backlog_takes_every_other_turn() {
        assert_eq!(order(false), [4, 1, 3, 2, 10]);
    }

    #[test]
    fn an_empty_spool_has_nothing_to_offer() {
        assert_eq!(Agenda::new(1).choose(&BTreeSet::new(), true), None);
    }

    #[test]
    fn a_deferred_photo_lets_ten_others_pass() {
        let mut waiting: BTreeSet<u64> = (1..=20).collect();
        let mut agenda = Agenda::new(1);
        assert_eq!(agenda.choose(&waiting, true), Some(20));
        agenda.defer(20);
        for expected in (10..20).rev() {
            assert_eq!(agenda.choose(&waiting, true), Some(expected));
            waiting.remove(&expected);
            agenda.delivered(expected);
        }
        assert_eq!(agenda.choose(&waiting, true), Some(20));
    }

    #[test]
    fn many_that_never_go_through_do_not_starve_the_one_that_does() {
        let waiting: BTreeSet<u64> = (1..=50).collect();
        let mut agenda = Agenda::new(1);
        for young in [true, false] {
            let mut offered: Vec<u64> = Vec::new();
            for _ in 0..50 {
                let chosen = agenda.choose(&waiting, young).unwrap();
                agenda.defer(chosen);
                offered.push(chosen);
            }
            offered.sort_unstable();
            assert!(offered.into_iter().eq(1..=50), "each gets its turn before any gets a second one");
        }
    }

    #[test]
    fn none_is_under_way_twice() {
        let waiting: BTreeSet<u64> = (1..=3).collect();
        let mut agenda = Agenda::new(4);
        let mut chosen: Vec<_> = (0..4).map(|_| agenda.choose(&waiting, false)).collect();
        chosen.sort_unstable();
        assert_eq!(chosen, [None, Some(1), Some(2), Some(3)]);
        agenda.put_back(2);
        assert_eq!((agenda.choose(&waiting, false), agenda.choose(&waiting, false)), (Some(2), None));
        agenda.defer(1);
        assert_eq!(agenda.choose(&waiting, false), Some(1), "the others are under way");
    }

    #[test]
    fn old_photos_that_are_slow_leave_a_place_to_the_new() {
        let mut waiting: BTreeSet<u64> = (1..=50).collect();
        let mut agenda = Agenda::new(2);
        for new in 100..110 {
            waiting.insert(new);
            let newest = (0..3).map_while(|_| {
                if !agenda.has_a_place() {
                    return None;
                }
                let chosen = agenda.choose(&waiting, false)?;
                // What is old goes on for ever.
                if chosen >= 25 {
                    waiting.remove(&chosen);
                    agenda.delivered(chosen);
                }
                Some(chosen)
            });
            assert!(newest.collect::<Vec<_>>().contains(&new), "photo {new} waits for more than two others");
        }
    }

    #[test]
    fn a_busy_server_keeps_a_photo_back_for_one_other() {
        let waiting: BTreeSet<u64> = (1..=5).collect();
        let mut agenda = Agenda::new(1);
        assert_eq!(agenda.choose(&waiting, true), Some(5));
        agenda.defer_shortly(5);
        assert_eq!(agenda.choose(&waiting, true), Some(4));
        agenda.defer_shortly(4);
        assert_eq!(agenda.choose(&waiting, true), Some(3));
        agenda.delivered(3);
        assert_eq!(agenda.choose(&waiting, true), Some(5));
    }
}

//! Which waiting photo is offered next.
//!
//! The policy: while the link is young (the connection failed less than a minute ago, or the recorder has just started) the
//! newest photo goes first, because that is what people look at and the link may not last; after that newest and oldest take
//! turns, so that the backlog drains while a photo just taken waits for at most two others.
//!
//! A photo that could not be delivered although the server answers, or that could not be read, is deferred, so that it does not
//! hold up the others: it gets its next turn after ten others were delivered, or when only deferred ones are left.

use std::collections::{BTreeMap, BTreeSet};

/// Deliveries that a deferred photo lets pass. Few enough that one which met a server in restart comes soon, many enough that
/// photos which never go through cost little.
const PATIENCE: u64 = 10;

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
#[derive(Debug, Default)]
pub struct Agenda {
    offers: u64,
    deliveries: u64,
    /// Deferred photos, each with the number of deliveries after which it may be offered again.
    deferred: BTreeMap<u64, u64>,
}

impl Agenda {
    /// The next photo to offer of those `waiting`; `None` if there is none.
    pub fn choose(&mut self, waiting: &dyn Waiting, link_is_young: bool) -> Option<u64> {
        self.deferred.retain(|sequence, until| *until > self.deliveries && waiting.contains(*sequence));
        if self.deferred.len() == waiting.len() {
            self.deferred.clear();
        }
        let newest_first = link_is_young || self.offers.is_multiple_of(2);
        let skip = |sequence| self.deferred.contains_key(&sequence);
        let chosen = if newest_first { waiting.newest(&skip) } else { waiting.oldest(&skip) };
        self.offers += u64::from(chosen.is_some());
        chosen
    }

    /// A photo was delivered, or parked.
    pub fn delivered(&mut self) {
        self.deliveries += 1;
    }

    /// The others go before this photo.
    pub fn defer(&mut self, sequence: u64) {
        self.deferred.insert(sequence, self.deliveries + PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which photos go while one more is taken after every third offer.
    fn order(link_is_young: bool) -> Vec<u64> {
        let mut waiting: BTreeSet<u64> = (1..=4).collect();
        let (mut agenda, mut order) = (Agenda::default(), Vec::new());
        for turn in 0..5 {
            let chosen = agenda.choose(&waiting, link_is_young).unwrap();
            waiting.remove(&chosen);
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
        assert_eq!(Agenda::default().choose(&BTreeSet::new(), true), None);
    }

    #[test]
    fn a_deferred_photo_lets_ten_others_pass() {
        let mut waiting: BTreeSet<u64> = (1..=20).collect();
        let mut agenda = Agenda::default();
        assert_eq!(agenda.choose(&waiting, true), Some(20));
        agenda.defer(20);
        for expected in (10..20).rev() {
            assert_eq!(agenda.choose(&waiting, true), Some(expected));
            waiting.remove(&expected);
            agenda.delivered();
        }
        assert_eq!(agenda.choose(&waiting, true), Some(20));
    }

    #[test]
    fn many_that_never_go_through_do_not_starve_the_one_that_does() {
        let waiting: BTreeSet<u64> = (1..=50).collect();
        let mut agenda = Agenda::default();
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
}

//! `GET /stations`: how every station is, by what it last said and by its latest photo.

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use tide_photo::{CapturedAt, ClockQuality, StationName};

use super::station_facts::{Fact, SERVER_VERSION, ago, facts, is_behind, seconds_between};
use super::{LoggedIn, PageError};
use crate::app::{App, now};
use crate::catalog::{Operator, StationOverview};

/// Silence after which a station is marked, in seconds: stations speak every few minutes, and one that is not heard three times
/// is no accident. The server's choice.
const SILENT_S: i64 = 15 * 60;

#[derive(Template)]
#[template(path = "stations.html")]
struct StationsPage {
    operator: Option<Operator>,
    cards: Vec<Card>,
    /// This server's.
    version: &'static str,
    /// Stations that run an older one.
    behind: Vec<StationName>,
}

/// One station.
struct Card {
    name: StationName,
    condition: Condition,
    /// When it last spoke, and how long ago.
    heard: Option<(CapturedAt, String)>,
    /// Number and time of its latest photo, and how long ago.
    last_photo: Option<(i64, CapturedAt, String)>,
    clock: Option<ClockQuality>,
    facts: Vec<Fact>,
}

/// What a glance should tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Well,
    Troubled,
    Silent,
    NeverHeard,
}

impl Condition {
    fn word(self) -> &'static str {
        match self {
            Self::Well => "Well",
            Self::Troubled => "Needs a look",
            Self::Silent => "Silent",
            Self::NeverHeard => "No status yet",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Troubled => "troubled",
            Self::Silent => "silent",
            Self::NeverHeard => "unheard",
        }
    }
}

/// Shows every station.
///
/// # Errors
/// See [`PageError`].
pub async fn stations(State(app): State<App>, LoggedIn(operator): LoggedIn) -> Result<Html<String>, PageError> {
    let now = now();
    let overviews = app.catalog.station_overviews().await?;
    let behind =
        overviews.iter().filter(|overview| runs_older_version(overview)).map(|overview| overview.station.name.clone());
    let behind = behind.collect();
    let cards = overviews.into_iter().map(|overview| Card::of(overview, now)).collect();
    Ok(Html(StationsPage { operator: Some(operator), cards, version: SERVER_VERSION, behind }.render()?))
}

fn runs_older_version(overview: &StationOverview) -> bool {
    let status = overview.heard.as_ref().and_then(|heard| heard.status.as_ref());
    status.is_some_and(|status| is_behind(&status.software))
}

impl Card {
    fn of(overview: StationOverview, now: CapturedAt) -> Self {
        let heard = overview.heard;
        let status = heard.as_ref().and_then(|heard| heard.status.as_ref().map(|status| (status, heard.received_at)));
        let facts = status.map(|(status, received_at)| facts(status, received_at)).unwrap_or_default();
        let is_troubled = facts.iter().any(|fact| fact.is_problem);
        let condition = match &heard {
            None => Condition::NeverHeard,
            Some(heard) if seconds_between(heard.received_at, now) >= SILENT_S => Condition::Silent,
            Some(_) if is_troubled => Condition::Troubled,
            Some(_) => Condition::Well,
        };
        Self {
            name: overview.station.name,
            condition,
            last_photo: overview.last_photo.map(|(id, at)| (id, at, ago(at, now))),
            clock: status.map(|(status, _)| status.clock),
            heard: heard.as_ref().map(|heard| (heard.received_at, ago(heard.received_at, now))),
            facts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Heard, Station};
    use crate::handlers::station_facts::example;

    fn at(second: i64) -> CapturedAt {
        CapturedAt::from_micros(second * 1_000_000).unwrap()
    }

    #[test]
    fn silence_is_told_before_trouble_and_trouble_before_none() {
        let condition = |second: Option<i64>, trouble: Option<&str>| {
            let heard = second.map(|second| {
                let mut status = example(at(second));
                status.camera.trouble = trouble.map(str::to_owned);
                Heard { status: Some(status), received_at: at(second), first_received_at: at(0) }
            });
            let station = Station { id: 1, name: "pier-3".parse().unwrap() };
            Card::of(StationOverview { station, last_photo: None, heard }, at(10_000)).condition
        };
        assert_eq!(condition(None, None), Condition::NeverHeard);
        assert_eq!(condition(Some(9_990), None), Condition::Well);
        assert_eq!(condition(Some(9_990), Some("no camera")), Condition::Troubled);
        assert_eq!(condition(Some(10_000 - SILENT_S), Some("no camera")), Condition::Silent);
        assert_eq!(condition(Some(20_000), None), Condition::Well, "a server's clock that went back");
    }
}

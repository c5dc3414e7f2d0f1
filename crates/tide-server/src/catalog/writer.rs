//! The one writer of photos. Each commit costs a wait for the disk, so all photos that are waiting share one.

use sqlx::sqlite::SqlitePool;
use tide_photo::CapturedAt;
use tokio::sync::{mpsc, oneshot};

use super::photos::{self, NewPhoto};
use super::{Catalog, CatalogError};

/// Photos that may wait for the writer; who comes later waits before entering the queue.
const QUEUE_PHOTOS: usize = 1_024;

/// Photos in one commit at most: bounds how long a commit, and so a receipt, may take.
const COMMIT_PHOTOS: usize = 256;

/// A photo's place in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Its number; a repeat gets the same.
    pub id: i64,
    /// When the server first had it.
    pub received_at: CapturedAt,
    /// Whether this call recorded it.
    pub is_new: bool,
}

type Reply = oneshot::Sender<Result<Recorded, CatalogError>>;

struct Request {
    photo: Box<NewPhoto>,
    reply: Reply,
}

/// The way to the writer. Clones lead to the same one; it stops when the last is dropped.
#[derive(Clone)]
pub struct PhotoWriter {
    requests: mpsc::Sender<Request>,
}

impl PhotoWriter {
    /// Starts the writer of a catalog. There is one per server.
    pub fn start(catalog: &Catalog) -> Self {
        let (requests, waiting) = mpsc::channel(QUEUE_PHOTOS);
        tokio::spawn(write_all(catalog.pool.clone(), waiting));
        Self { requests }
    }

    /// Records a photo; when this returns, the record survives a power cut.
    ///
    /// # Errors
    /// If the catalog could not commit it.
    pub async fn record(&self, photo: NewPhoto) -> Result<Recorded, CatalogError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { photo: Box::new(photo), reply };
        self.requests.send(request).await.map_err(|_| CatalogError::WriterStopped)?;
        answer.await.map_err(|_| CatalogError::WriterStopped)?
    }
}

async fn write_all(pool: SqlitePool, mut waiting: mpsc::Receiver<Request>) {
    let mut batch = Vec::with_capacity(COMMIT_PHOTOS);
    while waiting.recv_many(&mut batch, COMMIT_PHOTOS).await > 0 {
        let (photos, replies): (Vec<_>, Vec<_>) = batch.drain(..).map(|request| (request.photo, request.reply)).unzip();
        let outcomes = commit(&pool, &photos).await;
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // Who asked may have hung up; the photo is recorded all the same and the repeat will find it.
            drop(reply.send(outcome));
        }
    }
}

/// Commits the photos together; one that the catalog refuses does not hold back the others.
async fn commit(pool: &SqlitePool, photos: &[Box<NewPhoto>]) -> Vec<Result<Recorded, CatalogError>> {
    match try_commit(pool, photos).await {
        Ok(outcomes) => outcomes,
        Err(error) => {
            tracing::error!(photos = photos.len(), error = &error as &dyn std::error::Error, "failed to commit photos");
            photos.iter().map(|_| Err(CatalogError::of_commit(&error))).collect()
        }
    }
}

async fn try_commit(
    pool: &SqlitePool,
    photos: &[Box<NewPhoto>],
) -> Result<Vec<Result<Recorded, CatalogError>>, sqlx::Error> {
    // `immediate`: a transaction that begins by reading could find at its first write that another process came between.
    let mut transaction = pool.begin_with("begin immediate").await?;
    let mut outcomes = Vec::with_capacity(photos.len());
    for photo in photos {
        outcomes.push(photos::record(&mut transaction, photo).await);
    }
    transaction.commit().await?;
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tide_photo::jpeg::Dimensions;
    use tide_photo::manifest::Repair;
    use tide_photo::{ClockQuality, ClockSource, Digest};

    use super::*;
    use crate::catalog::{OldDoor, Origin, PhotoFilter, Station, Turn};
    use crate::secret::Secret;

    fn moment(seconds: i64) -> CapturedAt {
        CapturedAt::from_micros(seconds * 1_000_000).unwrap()
    }

    async fn catalog() -> (tempfile::TempDir, Catalog, Station) {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("tide.db")).await.unwrap();
        let name = "pier-3".parse().unwrap();
        let station = catalog.add_station(&name, &Secret::random().hash(), moment(0)).await.unwrap().unwrap();
        (folder, catalog, station)
    }

    fn photo(station: &Station, number: u8, second: i64) -> NewPhoto {
        NewPhoto {
            station: station.clone(),
            digest: Digest::of(&[number]),
            size_bytes: 1,
            dimensions: Dimensions { width: 640, height: 480 },
            captured_at: moment(second),
            clock: ClockQuality::unsynchronised(),
            received_at: moment(1_000),
            store_key: format!("key-{number}"),
            file_name: format!("name-{number}.jpg"),
            origin: Origin::OldDoor(OldDoor { client_timestamp: None }),
        }
    }

    #[tokio::test]
    async fn many_at_once_are_recorded_once_each() {
        let (_folder, catalog, station) = catalog().await;
        let writer = PhotoWriter::start(&catalog);
        // Each photo twice, all at the same time.
        let requests = (0..200u8).flat_map(|number| [number, number]).map(|number| {
            let writer = writer.clone();
            let photo = photo(&station, number, i64::from(number));
            async move { writer.record(photo).await.unwrap() }
        });
        let recorded = join_all(requests).await;
        assert_eq!(catalog.photo_count().await.unwrap(), 200);
        assert_eq!(recorded.iter().filter(|recorded| recorded.is_new).count(), 200);
        assert!(recorded.chunks(2).all(|pair| pair[0].id == pair[1].id), "a repeat gets the same number");
    }

    #[tokio::test]
    async fn a_photo_that_the_catalog_refuses_does_not_hold_back_the_others() {
        let (_folder, catalog, station) = catalog().await;
        let writer = PhotoWriter::start(&catalog);
        let mut clash = photo(&station, 2, 2);
        clash.store_key = "key-1".to_owned();
        let (one, clash, three) = tokio::join!(
            writer.record(photo(&station, 1, 1)),
            writer.record(clash),
            writer.record(photo(&station, 3, 3))
        );
        assert!(one.is_ok() && three.is_ok());
        assert!(clash.is_err());
        assert_eq!(catalog.photo_count().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_a_manifest_says_is_read_as_it_was_written() {
        let (_folder, catalog, station) = catalog().await;
        let writer = PhotoWriter::start(&catalog);
        for (number, repaired) in [(1, None), (2, Some(Repair { clock_said: moment(7) }))] {
            let (boot_id, camera) = ("boot".to_owned(), "usb".to_owned());
            let origin =
                Origin::Manifest { sequence: 5, boot_id, monotonic_us: 6, camera, moment_ms: Some(8), repaired };
            let new = NewPhoto { origin: origin.clone(), ..photo(&station, number, 1) };
            let id = writer.record(new).await.unwrap().id;
            assert_eq!(catalog.photo(id).await.unwrap().unwrap().photo.origin, origin);
        }
    }

    /// A photo of a boot, taken `seconds` after it by a clock that nobody kept.
    fn unsure(station: &Station, number: u8, boot_id: &str, seconds: u64) -> NewPhoto {
        let origin = Origin::Manifest {
            sequence: number.into(),
            boot_id: boot_id.to_owned(),
            monotonic_us: seconds * 1_000_000,
            camera: "usb".to_owned(),
            moment_ms: Some(1_500),
            repaired: None,
        };
        NewPhoto { origin, ..photo(station, number, i64::from(number)) }
    }

    #[tokio::test]
    async fn a_good_clock_tells_when_earlier_photos_of_its_boot_were_taken() {
        let (_folder, catalog, station) = catalog().await;
        let writer = PhotoWriter::start(&catalog);
        let sure = ClockQuality::synchronised(ClockSource::Rtc, 9).unwrap();
        let photos = [
            unsure(&station, 1, "boot", 10),
            unsure(&station, 2, "another", 10),
            unsure(&station, 3, "boot", 9_000),
            NewPhoto { clock: sure, ..unsure(&station, 4, "boot", 20) },
            photo(&station, 5, 5),
        ];
        let mut ids = Vec::new();
        for photo in photos {
            ids.push(writer.record(photo).await.unwrap().id);
        }
        let mut status = crate::catalog::statuses::example(&station, 3_610_000_000);
        (status.at, status.clock) = (moment(1_000_000), ClockQuality::synchronised(ClockSource::Gps, 12).unwrap());
        assert_eq!(catalog.find_times(&station, &status).await.unwrap(), 1, "the others are sure, or of no such boot");
        assert_eq!(catalog.find_times(&station, &status).await.unwrap(), 0, "once");
        let found = catalog.photo(ids[0]).await.unwrap().unwrap().photo;
        assert_eq!(found.captured_at, moment(1_000_000 - 3_600));
        assert_eq!(
            found.clock.to_string(),
            "gps ± 3312 ms",
            "12 ms, 500 ppm of an hour, and what the camera did not know"
        );
        let Origin::Manifest { repaired, .. } = found.origin else { panic!("{:?}", found.origin) };
        assert_eq!(repaired, Some(Repair { clock_said: moment(1) }));
        for id in &ids[1..] {
            assert_ne!(catalog.photo(*id).await.unwrap().unwrap().photo.clock.source(), ClockSource::Gps);
        }
        status.clock = ClockQuality::unsynchronised();
        status.boot_id = "another".to_owned();
        assert_eq!(catalog.find_times(&station, &status).await.unwrap(), 0, "no clock, no time");
    }

    #[tokio::test]
    async fn pages_follow_the_time_of_exposure_in_both_directions() {
        let (_folder, catalog, station) = catalog().await;
        let writer = PhotoWriter::start(&catalog);
        // Arriving out of order, two at the same second.
        let mut ids = Vec::new();
        for (number, second) in [(0, 50), (1, 10), (2, 30), (3, 30), (4, 20)] {
            ids.push(writer.record(photo(&station, number, second)).await.unwrap().id);
        }
        let page = async |turn| {
            let filter = PhotoFilter { station_id: Some(station.id) };
            let page = catalog.photo_page(filter, turn, 2).await.unwrap().unwrap();
            (page.photos.iter().map(|record| record.id).collect::<Vec<_>>(), page.has_newer, page.has_older)
        };
        assert_eq!(page(Turn::Newest).await, (vec![ids[0], ids[3]], false, true));
        assert_eq!(page(Turn::OlderThan(ids[3])).await, (vec![ids[2], ids[4]], true, true));
        assert_eq!(page(Turn::OlderThan(ids[4])).await, (vec![ids[1]], true, false));
        assert_eq!(page(Turn::NewerThan(ids[4])).await, (vec![ids[3], ids[2]], true, true));
        assert_eq!(page(Turn::NewerThan(ids[3])).await, (vec![ids[0]], false, true));
        assert!(catalog.photo_page(PhotoFilter::default(), Turn::OlderThan(999), 2).await.unwrap().is_none());
    }
}

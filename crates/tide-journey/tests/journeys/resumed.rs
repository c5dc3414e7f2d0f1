//! Photos that come over several connections (tus 1.0): every interruption, and nothing lost, doubled or sent again.

use std::fs;
use std::io::Write;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;
use tide_journey::hand;
use tide_journey::needs::{self, Need, journey};
use tide_journey::programs::{output, until};
use tide_journey::server::files_below;
use tide_journey::tus::{TusHand, base64, metadata};
use tide_journey::{TestServer, Upload};
use tide_photo::{Digest, wire};

use crate::wait_for;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("an_upload_that_was_cut_off_goes_on_where_it_stopped", Need::Nothing, cut_off),
        journey("a_dead_connection_does_not_keep_its_upload_from_going_on", Need::Nothing, dead_connection),
        journey("an_upload_outlives_a_server_that_is_killed", Need::Nothing, killed),
        journey("an_upload_whose_last_byte_came_before_a_crash_is_finished", Need::Nothing, last_byte),
        journey("an_upload_is_its_stations_alone", Need::Nothing, another_station),
        journey("bytes_count_once_their_checksum_is_right", Need::Nothing, checksums),
        journey("an_upload_of_something_else_is_refused_and_removed", Need::Nothing, garbage),
        journey("tus_requests_that_are_not_in_order_are_refused", Need::Nothing, disorder),
        journey("forgotten_uploads_make_room_for_new_ones", Need::Nothing, forgotten),
        journey("a_strangers_tus_client_resumes_an_upload", Need::PythonTus, tuspy),
    ]
}

/// A server, a station's hand, and a photo of some hundred kilobytes.
fn server_with_photo() -> anyhow::Result<(TestServer, TusHand, Upload)> {
    let server = TestServer::start()?;
    let hand = TusHand::new(&server, &server.add_station_token("pier-3")?)?;
    Ok((server, hand, Upload::made_up("pier-3", 1, 300_000)?))
}

/// What lies in the folder of unfinished uploads.
fn unfinished(server: &TestServer) -> anyhow::Result<Vec<String>> {
    let folder = server.data().join("photos/.unfinished");
    if folder.exists() { files_below(&folder) } else { Ok(Vec::new()) }
}

/// The photo is held once, with its own bytes, and nothing else is left of its upload.
async fn expect_held(server: &TestServer, hand: &TusHand, photo: &Upload) -> anyhow::Result<()> {
    let (status, receipt) = hand.receipt(&photo.digest).await?;
    ensure!(status == 200 && receipt["digest"] == photo.digest.to_string(), "{status}: {receipt}");
    let login = server.log_in().await?;
    let photos = login.photos().await?;
    ensure!(photos.len() == 1, "{photos:?}");
    let name = photos[0]["filename"].as_str().context("a photo has a name")?;
    ensure!(login.get(&format!("/uploads/{name}")).await?.bytes().await? == photo.image);
    ensure!(unfinished(server)?.is_empty(), "{:?}", unfinished(server)?);
    server.expect_clean(1)
}

fn cut_off() -> anyhow::Result<()> {
    let (server, hand, photo) = server_with_photo()?;
    wait_for(async {
        ensure!(hand.receipt(&photo.digest).await?.0 == 404);
        let address = hand.create(&photo).await?;
        let mut at = 0;
        for stop in [1, 100_000, 100_001, 250_000] {
            let mut connection = hand.begin_patch(&address, &photo.image, at, stop, "").await?;
            connection.end().await?;
            connection.answer().await?;
            let standing = hand.head(&address).await?;
            ensure!(standing.status == 200 && standing.offset() == Some(stop), "{standing:?}");
            ensure!(standing.header("upload-length") == photo.image.len().to_string(), "{standing:?}");
            ensure!(standing.header("upload-metadata") == metadata(&photo.manifest), "{standing:?}");
            ensure!(standing.header("cache-control") == "no-store", "{standing:?}");
            ensure!(standing.header("tus-resumable") == "1.0.0", "{standing:?}");
            at = stop;
        }
        let half = hand.patch(&address, at, &photo.image[at..290_000]).await?;
        ensure!(half.status == 204 && half.offset() == Some(290_000), "{half:?}");
        ensure!(half.header("upload-expires").ends_with(" GMT"), "{half:?}");
        let last = hand.patch(&address, 290_000, &photo.image[290_000..]).await?;
        ensure!(last.status == 204 && last.offset() == Some(photo.image.len()), "{last:?}");
        // The answer may have been lost: asked again, the server says the same.
        let after = hand.head(&address).await?;
        ensure!(after.status == 200 && after.offset() == Some(photo.image.len()), "{after:?}");
        ensure!(hand.patch(&address, photo.image.len(), b"").await?.status == 204);
        expect_held(&server, &hand, &photo).await
    })
}

fn dead_connection() -> anyhow::Result<()> {
    let (server, hand, photo) = server_with_photo()?;
    wait_for(async {
        let address = hand.create(&photo).await?;
        let mut dead = hand.begin_patch(&address, &photo.image, 0, 150_000, "").await?;
        let at = hand.head(&address).await?.offset().context("the newer request is answered")?;
        let answer = dead.answer().await?.context("the older one is ended")?;
        ensure!(answer.status == 423, "{answer:?}");
        // Without asking first, too.
        let mut dead = hand.begin_patch(&address, &photo.image, at, at, "").await?;
        let rest = hand.patch(&address, at, &photo.image[at..]).await?;
        ensure!(rest.status == 204, "{rest:?}");
        ensure!(dead.answer().await?.is_some_and(|answer| [423, 409].contains(&answer.status)));
        expect_held(&server, &hand, &photo).await
    })
}

fn killed() -> anyhow::Result<()> {
    let (mut server, hand, photo) = server_with_photo()?;
    let bytes_here = |server: &TestServer| -> anyhow::Result<usize> {
        let name = unfinished(server)?.into_iter().find(|name| name.ends_with(".bytes")).context("an upload")?;
        Ok(usize::try_from(fs::metadata(server.data().join("photos/.unfinished").join(name))?.len())?)
    };
    wait_for(async {
        let address = hand.create(&photo).await?;
        let connection = hand.begin_patch(&address, &photo.image, 0, 200_000, "").await?;
        until("some of it is on the disk", || Ok(bytes_here(&server)? > 0))?;
        server.kill()?;
        drop(connection);
        let here = bytes_here(&server)?;
        server.restart()?;
        ensure!(hand.head(&address).await?.offset() == Some(here), "what was here still is");
        // An orderly stop, too.
        ensure!(hand.patch(&address, here, &photo.image[here..250_000]).await?.status == 204);
        server.stop()?;
        server.restart()?;
        ensure!(hand.patch(&address, 250_000, &photo.image[250_000..]).await?.status == 204);
        expect_held(&server, &hand, &photo).await
    })
}

/// As if the server had been killed between the last byte and the row: before the photo got its place in the store, and after.
fn last_byte() -> anyhow::Result<()> {
    [false, true].into_iter().try_for_each(last_byte_before_a_crash)
}

fn last_byte_before_a_crash(is_in_place: bool) -> anyhow::Result<()> {
    let (mut server, hand, photo) = server_with_photo()?;
    wait_for(async {
        let address = hand.create(&photo).await?;
        ensure!(hand.patch(&address, 0, &photo.image[..200_000]).await?.status == 204);
        server.kill()?;
        let name = unfinished(&server)?.into_iter().find(|name| name.ends_with(".bytes")).context("an upload")?;
        let file = server.data().join("photos/.unfinished").join(name);
        fs::File::options().append(true).open(&file)?.write_all(&photo.image[200_000..])?;
        if is_in_place {
            let day = server.data().join("photos/pier-3/2026/05/31");
            fs::create_dir_all(&day)?;
            fs::rename(&file, day.join(format!("000001.000Z_{}.jpg", photo.digest.short())))?;
        }
        server.restart()?;
        until("the photo is held", || Ok(unfinished(&server)?.is_empty()))?;
        ensure!(hand.head(&address).await?.offset() == Some(photo.image.len()));
        expect_held(&server, &hand, &photo).await
    })
}

fn another_station() -> anyhow::Result<()> {
    let (server, hand, photo) = server_with_photo()?;
    let other = TusHand::new(&server, &server.add_station_token("pier-4")?)?;
    wait_for(async {
        let address = hand.create(&photo).await?;
        ensure!(hand.patch(&address, 0, &photo.image[..1_000]).await?.status == 204);
        ensure!(other.head(&address).await?.status == 404);
        ensure!(other.patch(&address, 1_000, &photo.image[1_000..]).await?.status == 404);
        ensure!(other.send("DELETE", &address, &[], Vec::new()).await?.status == 404);
        ensure!(other.receipt(&photo.digest).await?.0 == 404);
        ensure!(hand.head(&address).await?.offset() == Some(1_000));
        ensure!(hand.patch(&address, 1_000, &photo.image[1_000..]).await?.status == 204);
        ensure!(other.receipt(&photo.digest).await?.0 == 404, "it is the first station's photo");
        ensure!(other.head(&address).await?.status == 404);
        expect_held(&server, &hand, &photo).await
    })
}

fn checksums() -> anyhow::Result<()> {
    let (server, hand, photo) = server_with_photo()?;
    let sum = |bytes: &[u8]| format!("sha256 {}", base64(Digest::of(bytes).as_bytes()));
    wait_for(async {
        let address = hand.create(&photo).await?;
        for (piece, length) in [(&photo.image[..100], 100), (&photo.image[..200_000], 200_000)] {
            let wrong = [("upload-checksum", &*sum(&photo.image[1..=length]))];
            let answer = hand.patch_with(&address, 0, piece, &wrong).await?;
            ensure!(answer.status == 460 && answer.body["error"] == "other_checksum", "{answer:?}");
            ensure!(hand.head(&address).await?.offset() == Some(0));
        }
        let answer = hand.patch_with(&address, 0, b"x", &[("upload-checksum", "md5 nT")]).await?;
        ensure!(answer.status == 400, "{answer:?}");
        let right = [("upload-checksum", &*sum(&photo.image[..200_000]))];
        ensure!(hand.patch_with(&address, 0, &photo.image[..200_000], &right).await?.offset() == Some(200_000));
        // Cut off, so that it is not known whether they are right.
        let header = format!("upload-checksum: {}\r\n", sum(&photo.image[200_000..]));
        let mut connection = hand.begin_patch(&address, &photo.image, 200_000, 290_000, &header).await?;
        connection.end().await?;
        connection.answer().await?;
        ensure!(hand.head(&address).await?.offset() == Some(200_000));
        let right = [("upload-checksum", &*sum(&photo.image[200_000..]))];
        ensure!(hand.patch_with(&address, 200_000, &photo.image[200_000..], &right).await?.status == 204);
        expect_held(&server, &hand, &photo).await
    })
}

fn garbage() -> anyhow::Result<()> {
    let (server, hand, photo) = server_with_photo()?;
    let text = Upload::of("pier-3", 2, b"<html>hello</html>".to_vec())?;
    wait_for(async {
        let address = hand.create(&text).await?;
        let answer = hand.patch(&address, 0, &text.image).await?;
        ensure!(answer.status == 415 && answer.body["error"] == "not_a_jpeg", "{answer:?}");
        ensure!(hand.head(&address).await?.status == 404);
        let address = hand.create(&photo).await?;
        let mut other = photo.image.to_vec();
        other[20] ^= 1;
        let answer = hand.patch(&address, 0, &other).await?;
        ensure!(answer.status == 409 && answer.body["error"] == "other_bytes", "{answer:?}");
        ensure!(hand.head(&address).await?.status == 404);
        // Given up by the station itself.
        let address = hand.create(&photo).await?;
        ensure!(hand.patch(&address, 0, &other[..1_000]).await?.status == 204);
        ensure!(hand.send("DELETE", &address, &[], Vec::new()).await?.status == 204);
        ensure!(hand.head(&address).await?.status == 404);
        ensure!(unfinished(&server)?.is_empty());
        server.expect_clean(0)
    })
}

/// What is changed of a request in order, status, and word of the refusal.
type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);

fn disorder() -> anyhow::Result<()> {
    let (server, hand, photo) = server_with_photo()?;
    let (length, good) = (photo.image.len().to_string(), metadata(&photo.manifest));
    let pier_4 = metadata(&photo.manifest.replace("pier-3", "pier-4"));
    let script = metadata(&photo.manifest.replace("\"gps\"", "\"sundial\""));
    let creations: [Case; 11] = [
        (&[("authorization", "Bearer tide_unknown")], 401, "no_token"),
        (&[("authorization", "")], 401, "no_token"),
        (&[("tus-resumable", "")], 412, "other_tus_version"),
        (&[("tus-resumable", "0.2.2")], 412, "other_tus_version"),
        (&[("upload-length", "")], 400, "bad_form"),
        (&[("upload-length", "many")], 400, "bad_form"),
        (&[("upload-length", "99999999999")], 413, "too_large"),
        (&[("upload-length", "7")], 422, "bad_manifest"),
        (&[("upload-metadata", "filename eA==")], 422, "bad_manifest"),
        (&[("upload-metadata", &script)], 422, "bad_manifest"),
        (&[("upload-metadata", &pier_4)], 403, "other_station"),
    ];
    wait_for(async {
        for (changes, status, word) in creations {
            let headers = [&[("upload-length", &*length), ("upload-metadata", &good)], changes].concat();
            let answer = hand.send("POST", wire::UPLOADS_PATH, &headers, Vec::new()).await?;
            ensure!(answer.status == status && answer.body["error"] == word, "{changes:?}: {answer:?}");
            ensure!(answer.header("tus-resumable") == "1.0.0", "{answer:?}");
            ensure!(status != 412 || answer.header("tus-version") == "1.0.0", "{answer:?}");
        }
        ensure!(unfinished(&server)?.is_empty());

        let options = hand.send("OPTIONS", wire::UPLOADS_PATH, &[("authorization", "")], Vec::new()).await?;
        ensure!(options.status == 204 && options.header("tus-version") == "1.0.0", "{options:?}");
        ensure!(options.header("tus-extension") == "creation,checksum,expiration,termination", "{options:?}");
        ensure!(options.header("tus-checksum-algorithm") == "sha1,sha256", "{options:?}");
        ensure!(options.header("tus-max-size").parse::<u64>()? > 1_000_000, "{options:?}");

        let address = hand.create(&photo).await?;
        let answer = hand.patch(&address, 7, b"x").await?;
        ensure!(answer.status == 409 && answer.body["error"] == "other_offset", "{answer:?}");
        let answer = hand.patch_with(&address, 0, b"x", &[("content-type", "image/jpeg")]).await?;
        ensure!(answer.status == 415 && answer.body["error"] == "other_content_type", "{answer:?}");
        let answer = hand.patch(&address, 0, &[&photo.image, b"x".as_slice()].concat()).await?;
        ensure!(answer.status == 413 && answer.body["error"] == "beyond_length", "{answer:?}");
        let answer = hand.patch_with(&address, 0, b"x", &[("authorization", "")]).await?;
        ensure!(answer.status == 401, "{answer:?}");
        ensure!(hand.head(&address).await?.offset() == Some(0), "nothing of all this has come in");
        for nowhere in [address.replace(&photo.digest.to_string(), "x"), format!("{}/x", wire::UPLOADS_PATH)] {
            ensure!(hand.head(&nowhere).await?.status == 404, "{nowhere}");
        }
        // For clients that know only GET and POST.
        let overridden = [
            ("x-http-method-override", "PATCH"),
            ("content-type", "application/offset+octet-stream"),
            ("upload-offset", "0"),
        ];
        let answer = hand.send("POST", &address, &overridden, photo.image.to_vec()).await?;
        ensure!(answer.status == 204, "{answer:?}");
        expect_held(&server, &hand, &photo).await
    })
}

/// One more than a station may have unfinished.
const TOO_MANY: u32 = 17;

fn forgotten() -> anyhow::Result<()> {
    let (server, hand, _) = server_with_photo()?;
    wait_for(async {
        let mut addresses = Vec::new();
        for number in 0..TOO_MANY {
            addresses.push(hand.create(&Upload::made_up("pier-3", number, 10_000)?).await?);
        }
        ensure!(hand.head(&addresses[0]).await?.status == 404, "the oldest is gone");
        for address in &addresses[1..] {
            ensure!(hand.head(address).await?.status == 200);
        }
        ensure!(unfinished(&server)?.len() == 2 * addresses.len() - 2);
        server.expect_clean(0)
    })
}

/// Uploads a photo in pieces with checksums; stops in the middle, and a new client goes on from what the first one has stored.
const TUSPY: &str = r#"
import sys
from tusclient import client
from tusclient.storage.filestorage import FileStorage
url, token, photo, manifest, storage = sys.argv[1:6]
def uploader():
    tus = client.TusClient(url, headers={"Authorization": "Bearer " + token})
    return tus.uploader(photo, chunk_size=5000, upload_checksum=True, store_url=True, url_storage=FileStorage(storage),
                        metadata={"manifest": open(manifest).read()})
first = uploader()
first.upload(stop_at=10000)
print(first.offset)
second = uploader()
print(second.offset, second.url == first.url)
second.upload()
print(second.offset == second.get_offset() == second.get_file_size())
"#;

fn tuspy() -> anyhow::Result<()> {
    let server = TestServer::start()?;
    let token = server.add_station_token("pier-3")?;
    let hand = TusHand::new(&server, &token)?;
    let photo = Upload::of("pier-3", 1, hand::with_comment(&hand::jpeg()?, &[b'x'; 20_000])?)?;
    let folder = TempDir::with_prefix("tide-tus-")?;
    let path = |name: &str| folder.path().join(name);
    fs::write(path("photo.jpg"), &photo.image)?;
    fs::write(path("manifest.json"), &photo.manifest)?;
    let mut command = Command::new(needs::python_with("tusclient")?);
    command.args(["-c", TUSPY]).arg(format!("{}{}", server.url(), wire::UPLOADS_PATH)).arg(token);
    command.args([path("photo.jpg"), path("manifest.json"), path("storage.json")]);
    let printed = output(command.env("REQUESTS_CA_BUNDLE", server.certificate()))?;
    ensure!(printed.lines().collect::<Vec<_>>() == ["10000", "10000 True", "True"], "{printed}");
    wait_for(expect_held(&server, &hand, &photo))
}

//! Small pictures for the gallery, made from the photos after their receipts, and made again where one is missing.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{PixelType, ResizeOptions, Resizer};
use mozjpeg::{ColorSpace, Compress, Decompress};
use tide_durable::{Durable, IfExists};
use tide_photo::jpeg::{Dimensions, JpegCheck, JpegError};
use tokio::sync::{Semaphore, mpsc};

use crate::ingest::UploadSlots;
use crate::photo_store::PhotoStore;

/// Longer side of a thumbnail in pixels: sharp at 240 CSS pixels on a screen with two pixels to one.
const LONGER_SIDE_PX: usize = 480;

/// JPEG quality; below it the water's texture turns to blocks.
const QUALITY: f32 = 78.0;

/// Photos that may wait for their thumbnail. One that finds the queue full gets it when somebody looks.
const QUEUE_PHOTOS: usize = 1_024;

/// How long uploads are let pass before the next thumbnail is thought of.
const LET_PASS: Duration = Duration::from_millis(250);

/// Thumbnails made at the same time: a gallery page may ask for sixty at once, and a server may be one of two cores.
const MADE_AT_ONCE: usize = 2;

/// Largest JPEG decoded of which every coefficient has to be in memory, in pixels: progressive ones, and others in several scans.
/// No camera of a station makes any. They take up to six bytes for each pixel; others are decoded line by line.
const MAX_BUFFERED_PIXELS: u64 = 16_000_000;

/// Makes and keeps thumbnails. Clones share the queue.
#[derive(Clone)]
pub struct Thumbnailer {
    makers: Arc<Makers>,
    waiting: mpsc::Sender<String>,
}

struct Makers {
    store: PhotoStore,
    durable: Durable,
    places: Arc<Semaphore>,
    buffered: Mutex<()>,
}

/// A photo of which there can be no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// The photo's bytes are not what was taken in.
    #[error("the photo is damaged")]
    Damaged(#[from] JpegError),
    /// It would take more memory than it is worth.
    #[error("the photo is a JPEG in several scans of more than 16 megapixels")]
    TooCostly,
    /// The JPEG cannot be decoded; the library's words.
    #[error("failed to decode the photo: {0}")]
    Decode(String),
    /// It cannot be made smaller.
    #[error("failed to scale the photo")]
    Resize(#[from] fast_image_resize::ResizeError),
    /// The disk refused.
    #[error("failed to read the photo or write its thumbnail")]
    Disk(#[from] io::Error),
}

impl Thumbnailer {
    /// Starts making thumbnails of photos in `store`, below the same data folder, while nobody uploads: a photo's receipt comes
    /// before anybody's thumbnail.
    pub fn start(store: PhotoStore, durable: Durable, uploads: UploadSlots) -> Self {
        let places = Arc::new(Semaphore::new(MADE_AT_ONCE));
        let makers = Arc::new(Makers { store, durable, places, buffered: Mutex::default() });
        let (waiting, mut queue) = mpsc::channel::<String>(QUEUE_PHOTOS);
        let thumbnailer = Self { makers, waiting };
        let makers = Arc::clone(&thumbnailer.makers);
        tokio::spawn(async move {
            while let Some(store_key) = queue.recv().await {
                while !uploads.are_all_free() {
                    tokio::time::sleep(LET_PASS).await;
                }
                if let Err(error) = makers.ensure(&store_key).await {
                    tracing::warn!(store_key, error = &error as &dyn std::error::Error, "there is no thumbnail");
                }
            }
        });
        thumbnailer
    }

    /// Asks for the thumbnail of a new photo; returns at once.
    pub fn prepare(&self, store_key: String) {
        // A full queue is no loss: `ensure` makes what is missing.
        drop(self.waiting.try_send(store_key));
    }

    /// The thumbnail's file, made now if it is missing.
    ///
    /// # Errors
    /// If the photo cannot be read or decoded.
    pub async fn ensure(&self, store_key: &str) -> Result<PathBuf, ThumbnailError> {
        self.makers.ensure(store_key).await
    }
}

impl Makers {
    async fn ensure(self: &Arc<Self>, store_key: &str) -> Result<PathBuf, ThumbnailError> {
        let path = self.durable.root().join("thumbnails").join(store_key);
        if tokio::fs::try_exists(&path).await? {
            return Ok(path);
        }
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (makers, photo) = (Arc::clone(self), self.store.path(store_key));
        let work = move || {
            // With the work, not with the request: a browser that scrolls on does not end the work.
            let _place = place;
            makers.make(&photo, &path).map(|()| path)
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    fn make(&self, photo: &Path, path: &Path) -> Result<(), ThumbnailError> {
        let jpeg = thumbnail(BufReader::new(File::open(photo)?), &self.buffered)?;
        self.durable.publish(path, &jpeg, IfExists::Replace)?;
        Ok(())
    }
}

/// The thumbnail of a JPEG: the whole picture, at most 480 pixels wide and high, never larger than the photo. Whoever makes one
/// of a JPEG whose coefficients must all be in memory waits for `buffered`, so that there is one such picture.
///
/// # Errors
/// If the photo cannot be decoded.
pub fn thumbnail(mut photo: impl BufRead + Seek, buffered: &Mutex<()>) -> Result<Vec<u8>, ThumbnailError> {
    let is_buffered = look_at_headers(&mut photo)?;
    // Nobody can leave nothing in a broken state.
    let _alone = is_buffered.then(|| buffered.lock().unwrap_or_else(PoisonError::into_inner));
    // The library says by unwinding that it cannot go on.
    catch_unwind(AssertUnwindSafe(|| scale(photo))).unwrap_or_else(|words| {
        Err(ThumbnailError::Decode(words.downcast::<String>().map_or_else(|_| "unknown".to_owned(), |words| *words)))
    })
}

/// Whether all coefficients have to be in memory. Hostile dimensions are refused here, before any memory is taken for them.
fn look_at_headers(photo: &mut (impl BufRead + Seek)) -> Result<bool, ThumbnailError> {
    let mut check = JpegCheck::default();
    let (Dimensions { width, height }, is_buffered) = loop {
        let bytes = photo.fill_buf()?;
        let length = bytes.len();
        if length == 0 {
            return Err(JpegError::Truncated.into());
        }
        check.update(bytes)?;
        photo.consume(length);
        if let Some(outlook) = check.outlook() {
            break outlook;
        }
    };
    photo.rewind()?;
    if is_buffered && u64::from(width) * u64::from(height) > MAX_BUFFERED_PIXELS {
        return Err(ThumbnailError::TooCostly);
    }
    Ok(is_buffered)
}

fn scale(photo: impl BufRead) -> Result<Vec<u8>, ThumbnailError> {
    let mut photo = Decompress::new_reader(photo)?;
    let (new_width, new_height) = fit(photo.width(), photo.height());
    // Most of the way down while decoding, which is cheaper than decoding it whole; the rest by a filter that keeps lines sharp.
    photo.scale(eighths(photo.width(), new_width));
    let (mut photo, pixel, colour) = match photo.color_space() {
        ColorSpace::JCS_GRAYSCALE => (photo.grayscale()?, PixelType::U8, ColorSpace::JCS_GRAYSCALE),
        _ => (photo.rgb()?, PixelType::U8x3, ColorSpace::JCS_RGB),
    };
    let picture: Vec<u8> = photo.read_scanlines()?;
    let (width, height) = (in_pixels(photo.width())?, in_pixels(photo.height())?);
    photo.finish()?;
    let source = ImageRef::new(width, height, &picture, pixel).map_err(io::Error::other)?;
    let mut scaled = Image::new(in_pixels(new_width)?, in_pixels(new_height)?, pixel);
    Resizer::new().resize(&source, &mut scaled, &ResizeOptions::default())?;

    let mut jpeg = Compress::new(colour);
    // Several times faster than the library's own choice, for a few more bytes.
    jpeg.set_fastest_defaults();
    jpeg.set_size(new_width, new_height);
    jpeg.set_quality(QUALITY);
    let mut jpeg = jpeg.start_compress(Vec::new())?;
    jpeg.write_scanlines(scaled.buffer())?;
    Ok(jpeg.finish()?)
}

/// The smallest of the sizes that the decoder makes, in eighths of the photo's, that is no smaller than wanted.
fn eighths(width: usize, wanted: usize) -> u8 {
    [1, 2, 4].into_iter().find(|eighths| width * usize::from(*eighths) / 8 >= wanted).unwrap_or(8)
}

fn in_pixels(side: usize) -> io::Result<u32> {
    u32::try_from(side).map_err(io::Error::other)
}

/// The size of a thumbnail, in pixels.
fn fit(width: usize, height: usize) -> (usize, usize) {
    let longer = width.max(height);
    if longer <= LONGER_SIDE_PX {
        return (width, height);
    }
    let scaled = |side: usize| (side * LONGER_SIDE_PX / longer).max(1);
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use image::DynamicImage;
    use image::codecs::jpeg::JpegEncoder;

    use super::*;

    fn make(photo: &[u8]) -> Result<Vec<u8>, ThumbnailError> {
        thumbnail(io::Cursor::new(photo), &Mutex::default())
    }

    fn jpeg(picture: &DynamicImage) -> Vec<u8> {
        let mut jpeg = Vec::new();
        picture.write_with_encoder(JpegEncoder::new(&mut jpeg)).unwrap();
        jpeg
    }

    fn size_of(jpeg: &[u8]) -> (u32, u32) {
        let dimensions = tide_photo::jpeg::JpegCheck::of(jpeg).unwrap();
        (dimensions.width, dimensions.height)
    }

    #[test]
    fn the_whole_picture_is_kept_and_never_enlarged() {
        assert_eq!(fit(4_056, 3_040), (480, 359));
        assert_eq!(fit(480, 1_920), (120, 480));
        assert_eq!(fit(320, 240), (320, 240));
        assert_eq!(fit(10_000, 1), (480, 1));
    }

    #[test]
    fn colour_and_grey_photos_become_small() {
        for picture in [DynamicImage::new_rgb8(1_280, 720), DynamicImage::new_luma8(1_280, 720)] {
            assert_eq!(size_of(&make(&jpeg(&picture)).unwrap()), (480, 270));
        }
    }

    /// A JPEG whose header promises this much, and whose one scan, of the first components, is next to nothing.
    fn promise(marker: u8, (width, height): (u16, u16), components: u8, scanned: u8) -> Vec<u8> {
        let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
        let mut jpeg =
            vec![0xFF, 0xD8, 0xFF, marker, 0, 8 + 3 * components, 8, height[0], height[1], width[0], width[1]];
        jpeg.push(components);
        (1..=components).for_each(|id| jpeg.extend([id, 0x11, 0]));
        jpeg.extend([0xFF, 0xDA, 0, 6 + 2 * scanned, scanned]);
        (1..=scanned).for_each(|id| jpeg.extend([id, 0]));
        jpeg.extend([0, 63, 0, 0x12, 0xFF, 0xD9]);
        jpeg
    }

    #[test]
    fn hostile_dimensions_are_refused_before_any_memory_is_taken() {
        let error = |jpeg: &[u8]| make(jpeg).unwrap_err();
        let size = (10_000, 9_000);
        assert!(matches!(
            error(&promise(0xC0, (65_535, 65_535), 1, 1)),
            ThumbnailError::Damaged(JpegError::Size { .. })
        ));
        assert!(matches!(error(&promise(0xC2, size, 3, 3)), ThumbnailError::TooCostly), "progressive");
        assert!(matches!(error(&promise(0xC0, size, 3, 1)), ThumbnailError::TooCostly), "one scan for each component");
        assert!(matches!(error(&promise(0xC0, size, 3, 3)), ThumbnailError::Decode(_)), "no tables");
    }

    #[test]
    fn bytes_that_only_look_like_a_jpeg_are_an_error() {
        assert!(make(b"\xFF\xD8\xFF\xD9").is_err());
        assert!(make(b"").is_err());
        // No tables: the library unwinds.
        assert!(matches!(make(&promise(0xC0, (640, 480), 1, 1)), Err(ThumbnailError::Decode(_))));
    }

    #[test]
    fn a_scaled_decode_shows_the_same_picture() {
        // Left half dark, right half light.
        let picture = image::GrayImage::from_fn(2_000, 1_000, |x, _| image::Luma([if x < 1_000 { 20 } else { 220 }]));
        let small = make(&jpeg(&DynamicImage::ImageLuma8(picture))).unwrap();
        let small = image::load_from_memory(&small).unwrap().into_luma8();
        assert!((15..25).contains(&small.get_pixel(100, 120).0[0]));
        assert!((215..225).contains(&small.get_pixel(380, 120).0[0]));
    }
}

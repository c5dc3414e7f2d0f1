//! Small pictures for the gallery, made from the photos after their receipts, and made again where one is missing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fast_image_resize::images::Image;
use fast_image_resize::{PixelType, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, GrayImage, ImageReader, RgbImage};
use tide_durable::{Durable, IfExists};
use tide_photo::jpeg::{Dimensions, JpegCheck, JpegError};
use tokio::sync::{Semaphore, mpsc};

use crate::ingest::UploadSlots;
use crate::photo_store::PhotoStore;

/// Longer side of a thumbnail in pixels: sharp at 240 CSS pixels on a screen with two pixels to one.
const LONGER_SIDE_PX: u32 = 480;

/// JPEG quality; below it the water's texture turns to blocks.
const QUALITY: u8 = 78;

/// Photos that may wait for their thumbnail. One that finds the queue full gets it when somebody looks.
const QUEUE_PHOTOS: usize = 1_024;

/// How long uploads are let pass before the next thumbnail is thought of.
const LET_PASS: Duration = Duration::from_millis(250);

/// Photos held in memory for their thumbnails at the same time: a gallery page may ask for sixty at once.
const MADE_AT_ONCE: usize = 4;

/// Pixels decoded at the same time, in millions. A picture takes three bytes of memory for each, a progressive one nine.
const DECODED_MEGAPIXELS: u32 = 64;

/// Largest progressive JPEG decoded, in pixels: no camera of a station makes any, and they cost three times the memory.
const MAX_PROGRESSIVE_PIXELS: u64 = 16_000_000;

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
    megapixels: Arc<Semaphore>,
}

/// A photo of which there can be no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    /// The photo's bytes are not what was taken in.
    #[error("the photo is damaged")]
    Damaged(#[from] JpegError),
    /// It would take more memory than it is worth.
    #[error("the photo is a progressive JPEG of more than 16 megapixels")]
    TooCostly,
    /// The JPEG cannot be decoded.
    #[error("failed to decode the photo")]
    Decode(#[from] image::ImageError),
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
        let [places, megapixels] =
            [MADE_AT_ONCE, DECODED_MEGAPIXELS as usize].map(|permits| Arc::new(Semaphore::new(permits)));
        let makers = Arc::new(Makers { store, durable, places, megapixels });
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
        let bytes = tokio::fs::read(self.store.path(store_key)).await?;
        let megapixels = Arc::clone(&self.megapixels).acquire_many_owned(cost(&bytes)?).await;
        let makers = Arc::clone(self);
        let work = move || {
            // With the work, not with the request: a browser that scrolls on does not end the work.
            let (_place, _megapixels) = (place, megapixels.map_err(io::Error::other)?);
            makers.make(&bytes, &path).map(|()| path)
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    fn make(&self, photo: &[u8], path: &Path) -> Result<(), ThumbnailError> {
        let jpeg = thumbnail(photo)?;
        self.durable.publish(path, &jpeg, IfExists::Replace)?;
        Ok(())
    }
}

/// What decoding a photo takes of [`DECODED_MEGAPIXELS`].
fn cost(photo: &[u8]) -> Result<u32, ThumbnailError> {
    let mut check = JpegCheck::default();
    check.update(photo)?;
    let is_progressive = check.is_progressive();
    let Dimensions { width, height } = check.finish()?;
    let pixels = u64::from(width) * u64::from(height);
    if is_progressive && pixels > MAX_PROGRESSIVE_PIXELS {
        return Err(ThumbnailError::TooCostly);
    }
    let weight = if is_progressive { 3 } else { 1 };
    Ok(u32::try_from(pixels * weight / 1_000_000).unwrap_or(u32::MAX).clamp(1, DECODED_MEGAPIXELS))
}

/// The thumbnail of a JPEG: the whole picture, at most 480 pixels wide and high, never larger than the photo.
///
/// # Errors
/// If the photo cannot be decoded.
pub fn thumbnail(photo: &[u8]) -> Result<Vec<u8>, ThumbnailError> {
    let mut reader = ImageReader::with_format(io::Cursor::new(photo), image::ImageFormat::Jpeg);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(tide_photo::jpeg::MAX_PIXELS * 4);
    reader.limits(limits);
    match reader.decode()? {
        DynamicImage::ImageLuma8(grey) => scale(&grey, PixelType::U8, ExtendedColorType::L8),
        other => scale_rgb(&other.into_rgb8()),
    }
}

fn scale_rgb(picture: &RgbImage) -> Result<Vec<u8>, ThumbnailError> {
    let (width, height) = fit(picture.width(), picture.height());
    resize(picture.as_raw(), picture.dimensions(), (width, height), PixelType::U8x3, ExtendedColorType::Rgb8)
}

fn scale(picture: &GrayImage, pixel: PixelType, colour: ExtendedColorType) -> Result<Vec<u8>, ThumbnailError> {
    let size = fit(picture.width(), picture.height());
    resize(picture.as_raw(), picture.dimensions(), size, pixel, colour)
}

fn resize(
    pixels: &[u8],
    (width, height): (u32, u32),
    (new_width, new_height): (u32, u32),
    pixel: PixelType,
    colour: ExtendedColorType,
) -> Result<Vec<u8>, ThumbnailError> {
    let source = fast_image_resize::images::ImageRef::new(width, height, pixels, pixel).map_err(io::Error::other)?;
    let mut scaled = Image::new(new_width, new_height, pixel);
    Resizer::new().resize(&source, &mut scaled, &ResizeOptions::default())?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode(scaled.buffer(), new_width, new_height, colour)?;
    Ok(jpeg)
}

/// The size of a thumbnail.
fn fit(width: u32, height: u32) -> (u32, u32) {
    let longer = width.max(height);
    if longer <= LONGER_SIDE_PX {
        return (width, height);
    }
    let scaled = |side: u32| {
        let side = u64::from(side) * u64::from(LONGER_SIDE_PX) / u64::from(longer);
        u32::try_from(side).unwrap_or(LONGER_SIDE_PX).max(1)
    };
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(size_of(&thumbnail(&jpeg(&picture)).unwrap()), (480, 270));
        }
    }

    #[test]
    fn a_picture_costs_its_pixels_and_a_large_progressive_one_is_not_decoded() {
        let header = |marker: u8, width: u16, height: u16| {
            let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
            let frame = [0xFF, marker, 0, 11, 8, height[0], height[1], width[0], width[1], 1, 1, 0x11, 0];
            let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0xFF, 0xD9];
            [&[0xFF, 0xD8], frame.as_slice(), &scan].concat()
        };
        assert_eq!(cost(&header(0xC0, 4_056, 3_040)).unwrap(), 12);
        assert_eq!(cost(&header(0xC0, 320, 240)).unwrap(), 1);
        assert_eq!(cost(&header(0xC2, 4_056, 3_040)).unwrap(), 36);
        assert!(matches!(cost(&header(0xC2, 10_000, 9_000)), Err(ThumbnailError::TooCostly)));
        assert_eq!(cost(&header(0xC0, 10_000, 9_000)).unwrap(), DECODED_MEGAPIXELS, "alone");
    }

    #[test]
    fn bytes_that_only_look_like_a_jpeg_are_an_error() {
        assert!(thumbnail(b"\xFF\xD8\xFF\xD9").is_err());
        assert!(thumbnail(b"").is_err());
    }
}

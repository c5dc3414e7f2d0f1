//! Where things are in a picture of a given size. The water is seen from 2.3 m above the staff's zero, so the horizon is
//! always above the highest tide.

use super::number::{narrow, pixel};
use super::staff::StaffGeometry;

/// Height of the camera above the staff's zero, in metres; the horizon is level with it.
const EYE_M: f32 = 2.3;
/// The top of the quay above the staff's zero, in metres.
pub(super) const QUAY_TOP_M: f32 = 3.2;
/// The quay's side runs towards this point of the horizon, in parts of the picture's width.
const VANISHING_PART: f32 = 0.40;
/// The corner between the quay's side and its front, in parts of the picture's width.
const CORNER_PART: f32 = 0.655;
/// How small things are at the far end of the quay.
const FAR_SCALE: f32 = 0.16;
/// From the camera to the quay's front, in metres.
pub(super) const FRONT_AWAY_M: f32 = 6.0;

/// The places, in pixels from the top left corner.
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) staff: StaffGeometry,
    pub(super) horizon: f32,
    /// The column where the quay's front begins.
    pub(super) corner: f32,
    /// The first row of the caption.
    pub(super) caption_top: usize,
    vanishing: f32,
}

impl Layout {
    pub(super) fn new(width_px: u32, height_px: u32) -> Self {
        let staff = StaffGeometry::for_size(width_px, height_px);
        Self {
            width: width_px as usize,
            height: height_px as usize,
            staff,
            horizon: narrow(staff.row_of(f64::from(EYE_M))),
            corner: width_px as f32 * CORNER_PART,
            caption_top: (height_px - (height_px * 9 / 200).max(12)) as usize,
            vanishing: width_px as f32 * VANISHING_PART,
        }
    }

    /// The row of a level at the quay's front.
    pub(super) fn row_of(&self, level: f32) -> f32 {
        narrow(self.staff.row_of(f64::from(level)))
    }

    /// One metre at the quay's front.
    pub(super) fn metre(&self) -> f32 {
        narrow(self.staff.rows_per_metre)
    }

    /// One metre at the quay's far end.
    pub(super) fn far_metre(&self) -> f32 {
        self.metre() * FAR_SCALE
    }

    /// How large the quay is in a column: 1 along its front, less the further its side is away.
    pub(super) fn scale_at(&self, x: f32) -> f32 {
        ((x - self.vanishing) / (self.corner - self.vanishing)).clamp(FAR_SCALE, 1.0)
    }

    /// Metres along the quay's wall from its corner.
    pub(super) fn along_quay(&self, x: f32) -> f32 {
        if x >= self.corner { (x - self.corner) / self.metre() } else { FRONT_AWAY_M * (1.0 - 1.0 / self.scale_at(x)) }
    }

    /// The level that a row stands for where the quay has this scale.
    pub(super) fn level_at(&self, row: f32, scale: f32) -> f32 {
        EYE_M - (row - self.horizon) / (scale * self.metre())
    }

    /// The quay's first column, at its far end.
    pub(super) fn quay_left(&self) -> usize {
        pixel(self.vanishing + (self.corner - self.vanishing) * FAR_SCALE)
    }

    /// The row of the quay's upper edge in a column.
    pub(super) fn quay_top(&self, x: f32) -> f32 {
        self.quay_foot(x, QUAY_TOP_M)
    }

    /// The row where water of this level meets the quay in a column.
    pub(super) fn quay_foot(&self, x: f32, level: f32) -> f32 {
        self.horizon + (EYE_M - level) * self.metre() * self.scale_at(x)
    }

    /// The middle of the lighthouse, on the end of the quay.
    pub(super) fn lighthouse_x(&self) -> f32 {
        self.quay_left() as f32 + self.far_metre()
    }
}

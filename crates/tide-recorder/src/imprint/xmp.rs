//! XMP: what EXIF has no tag for. One packet with the properties of our own namespace, all of them plain text:
//!
//! | property | meaning |
//! |---|---|
//! | `Station`, `Camera` | the station's name, and the kind of camera in its settings |
//! | `Sequence` | the station's count of photos; grows over restarts, gaps are allowed |
//! | `CapturedAt` | the moment of exposure by the station's clock, UTC, RFC 3339 |
//! | `ClockSource` | `gps`, `ntp`, `rtc` or `unsynchronised` |
//! | `ClockUncertaintyMs` | the clock's largest error either way in milliseconds; absent if it is not known |
//! | `BootId`, `MonotonicUs` | the boot in which it was taken, and microseconds since then; absent if the time is pretended |

use tide_photo::CapturedAt;
use xmp_writer::{CustomNamespace, Namespace, XmpWriter};

use super::Imprint;

/// The namespace. A name and no address, because we own no domain; XMP (part 1, 6.2) wants it to end in `#` or `/`.
pub const NAMESPACE: &str = "urn:tide-recorder:photo:1.0#";

/// The prefix that we propose; a reader goes by the namespace.
const PREFIX: &str = "tide";

/// The packet.
pub(super) fn packet(imprint: &Imprint) -> String {
    let mut writer = XmpWriter::new();
    for (name, value) in properties(imprint) {
        let namespace = Namespace::Custom(Box::new(CustomNamespace::new("Tide Recorder", PREFIX, NAMESPACE)));
        writer.element(name, namespace).value(value.as_str());
    }
    writer.finish(None)
}

/// Somebody else's packet with a description of ours at its end: a JPEG has one packet, and RDF any number of descriptions of
/// the same thing. `None` if it has no such place.
pub(super) fn beside(theirs: &[u8], imprint: &Imprint) -> Option<Vec<u8>> {
    let end = place_of(theirs, b"</rdf:RDF>")?;
    let packet = packet(imprint);
    let ours = &packet[packet.find("<rdf:Description")?..packet.find("</rdf:RDF>")?];
    Some([&theirs[..end], ours.as_bytes(), &theirs[end..]].concat())
}

fn place_of(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn properties(imprint: &Imprint) -> Vec<(&'static str, String)> {
    let Imprint { station, sequence, captured_at, clock, boot_id, monotonic_us, camera, place: _ } = *imprint;
    let mut properties = vec![
        ("Station", station.to_string()),
        ("Camera", camera.to_owned()),
        ("Sequence", sequence.to_string()),
        ("CapturedAt", CapturedAt::to_string(&captured_at)),
        ("ClockSource", clock.source().to_string()),
    ];
    properties.extend(clock.uncertainty_ms().map(|ms| ("ClockUncertaintyMs", ms.to_string())));
    if !boot_id.is_empty() {
        properties.extend([("BootId", boot_id.to_owned()), ("MonotonicUs", monotonic_us.to_string())]);
    }
    properties
}

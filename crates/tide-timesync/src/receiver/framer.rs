//! Finds NMEA sentences and UBX packets in a receiver's bytes, whatever lies between them: other protocols, noise, halves of
//! either after a cable was pulled. Only what has a right checksum comes out.

use memchr::{memchr, memchr2, memmem};

/// One message with a right checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// An NMEA 0183 sentence, from the dollar sign to the checksum, without the line's end.
    Sentence(&'a str),
    /// A UBX packet.
    Packet {
        /// Class and id, as in `0x01`, `0x07` for NAV-PVT.
        kind: (u8, u8),
        /// The payload.
        payload: &'a [u8],
    },
}

/// Longest sentence that is read, in bytes with its line's end. The standard has 82 (NMEA 0183 section 5.3), receivers of high
/// precision send up to 100; what is longer is two sentences that lost their middle.
const MAX_SENTENCE_BYTES: usize = 104;

/// Largest payload of a packet that is read, in bytes. The ones that we understand have 92; a packet of measurements from 70
/// satellites has 2,256.
const MAX_PAYLOAD_BYTES: usize = 2_560;

/// The two bytes that a UBX packet begins with (u-blox protocol description, "UBX frame structure").
const UBX_SYNC: [u8; 2] = [0xB5, 0x62];

/// Bytes of a packet around its payload: two of sync, class, id, two of length, two of checksum.
const UBX_OVERHEAD_BYTES: usize = 8;

/// Takes bytes as they come and gives whole messages. It holds at most one message that is not whole yet.
#[derive(Debug, Default)]
pub struct Framer {
    held: Vec<u8>,
}

/// What the bytes in hand begin with.
enum Beginning {
    /// A message of so many bytes.
    Whole(usize),
    /// So many bytes of no use.
    Noise(usize),
    /// A message that is not whole yet.
    Unfinished,
}

impl Framer {
    /// Takes some bytes, and gives each message that they complete to `each`.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) {
        // In pieces, so that what is held stays small however much comes at once.
        for piece in bytes.chunks(MAX_PAYLOAD_BYTES) {
            self.held.extend_from_slice(piece);
            let mut at = 0;
            loop {
                let rest = &self.held[at..];
                match beginning(rest) {
                    Beginning::Whole(length) => {
                        if let Some(frame) = frame(&rest[..length]) {
                            each(frame);
                        }
                        at += length;
                    }
                    Beginning::Noise(length) => at += length,
                    Beginning::Unfinished => break,
                }
            }
            self.held.drain(..at);
        }
    }

    /// How many bytes it holds, of a message that is not whole yet.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }
}

fn beginning(bytes: &[u8]) -> Beginning {
    match bytes.first() {
        None => Beginning::Unfinished,
        Some(b'$') => beginning_of_sentence(bytes),
        Some(&first) if first == UBX_SYNC[0] => beginning_of_packet(bytes),
        Some(_) => Beginning::Noise(memchr2(b'$', UBX_SYNC[0], bytes).unwrap_or(bytes.len())),
    }
}

fn beginning_of_sentence(bytes: &[u8]) -> Beginning {
    // A sentence is plain text: what is not, or another dollar sign, ends it before its time.
    let is_text = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b'$';
    let length = 1 + bytes[1..].iter().take(MAX_SENTENCE_BYTES).take_while(|byte| is_text(byte)).count();
    match bytes.get(length) {
        Some(b'\r' | b'\n') if sentence(&bytes[..length]).is_some() => Beginning::Whole(length),
        None if length <= MAX_SENTENCE_BYTES => Beginning::Unfinished,
        // Not the dollar sign alone: what follows it is text, in which nothing begins.
        _ => Beginning::Noise(length),
    }
}

fn beginning_of_packet(bytes: &[u8]) -> Beginning {
    match bytes {
        [_] => return Beginning::Unfinished,
        [_, second, ..] if *second != UBX_SYNC[1] => return Beginning::Noise(1),
        [_, _, _, _, low, high, ..] => {
            let payload_bytes = usize::from(u16::from_le_bytes([*low, *high]));
            let length = payload_bytes + UBX_OVERHEAD_BYTES;
            if payload_bytes > MAX_PAYLOAD_BYTES {
                return Beginning::Noise(1);
            }
            if let Some(whole) = bytes.get(..length) {
                return if packet(whole).is_some() { Beginning::Whole(length) } else { Beginning::Noise(1) };
            }
        }
        _ => (),
    }
    // Noise may look like the beginning of a packet: nobody waits for its end once a good sentence has come in its place.
    sentence_within(&bytes[1..]).map_or(Beginning::Unfinished, |start| Beginning::Noise(1 + start))
}

/// Where the first good sentence begins.
fn sentence_within(bytes: &[u8]) -> Option<usize> {
    memmem::find_iter(bytes, b"$").find(|start| {
        let rest = &bytes[*start..];
        let end = memchr2(b'\r', b'\n', rest).filter(|end| *end <= MAX_SENTENCE_BYTES);
        end.is_some_and(|end| sentence(&rest[..end]).is_some())
    })
}

fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    if bytes.first() == Some(&b'$') { sentence(bytes).map(Frame::Sentence) } else { packet(bytes) }
}

/// The sentence, if its checksum is right.
fn sentence(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?.trim_end_matches(' ');
    let star = memchr(b'*', text.as_bytes())?;
    let told = text.get(star + 1..)?;
    let told = (told.len() == 2).then(|| u8::from_str_radix(told, 16).ok()).flatten()?;
    let counted = text.get(1..star)?.bytes().fold(0, |sum, byte| sum ^ byte);
    (told == counted).then_some(text)
}

/// The packet, if its checksum is right (8-bit Fletcher, RFC 1145).
fn packet(bytes: &[u8]) -> Option<Frame<'_>> {
    let (body, told) = bytes.get(2..)?.split_last_chunk::<2>()?;
    let counted = body.iter().fold([0_u8; 2], |[a, b], byte| {
        let a = a.wrapping_add(*byte);
        [a, b.wrapping_add(a)]
    });
    let ([class, id, _, _], payload) = body.split_first_chunk::<4>()?;
    (counted == *told).then_some(Frame::Packet { kind: (*class, *id), payload })
}

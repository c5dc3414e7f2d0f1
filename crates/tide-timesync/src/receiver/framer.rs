//! Finds NMEA sentences and UBX packets in a receiver's bytes, whatever lies between them: other protocols, noise, halves of
//! either after a cable was pulled. Only what has a right checksum comes out.

use memchr::{memchr, memchr_iter, memchr2};

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
    memchr_iter(b'$', bytes).find(|start| {
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

#[cfg(test)]
mod tests {
    use super::*;

    const GGA: &str = "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47";

    /// UBX ACK-ACK, from u-blox's protocol description.
    const ACK: [u8; 10] = [0xB5, 0x62, 0x05, 0x01, 0x02, 0x00, 0x06, 0x01, 0x0F, 0x38];

    /// What comes out, sentences as they are and packets by class and id, whatever pieces the bytes come in.
    fn check(bytes: &[u8], expected: &[&str]) {
        for piece in [1, 2, 7, bytes.len().max(1)] {
            let mut framer = Framer::default();
            let mut frames = Vec::new();
            for bytes in bytes.chunks(piece) {
                framer.push(bytes, |frame| {
                    frames.push(match frame {
                        Frame::Sentence(text) => text.to_owned(),
                        Frame::Packet { kind: (class, id), .. } => format!("{class:02x}{id:02x}"),
                    });
                });
            }
            assert_eq!(frames, expected, "in pieces of {piece}: {}", bytes.escape_ascii());
        }
    }

    fn with(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn sentences_and_packets_come_out_of_one_stream() {
        check(&with(&[GGA.as_bytes(), b"\r\n", &ACK, GGA.as_bytes(), b"\n"]), &[GGA, "0501", GGA]);
        check(&with(&[&ACK, &ACK]), &["0501", "0501"]);
        check(b"", &[]);
    }

    #[test]
    fn a_wrong_checksum_is_no_message() {
        let wrong = GGA.replace("*47", "*48");
        check(&with(&[wrong.as_bytes(), b"\r\n", GGA.as_bytes(), b"\r\n"]), &[GGA]);
        check(&with(&[GGA.replace("*47", "").as_bytes(), b"\r\n", GGA.as_bytes(), b"\r\n"]), &[GGA]);
        let mut packet = ACK;
        packet[9] ^= 1;
        check(&with(&[&packet, GGA.as_bytes(), b"\r\n"]), &[GGA]);
    }

    #[test]
    fn after_noise_the_first_whole_message_counts() {
        let half = &GGA.as_bytes()[..30];
        check(&with(&[half, GGA.as_bytes(), b"\r\n"]), &[GGA]);
        check(&with(&[half, &ACK, GGA.as_bytes(), b"\r\n"]), &["0501", GGA]);
        check(&with(&[b"\0\0\xFF$\0$$$*", GGA.as_bytes(), b"\r\n"]), &[GGA]);
        check(&with(&[&[b'$'; 10_000], b"\r\n", GGA.as_bytes(), b"\r\n"]), &[GGA]);
        check(&with(&[&[b'A'; 10_000], GGA.as_bytes(), b"\r\n"]), &[GGA]);
        // What looks like a packet of a thousand bytes holds nobody up.
        check(&with(&[&[0xB5, 0x62, 1, 7, 0xE8, 3], GGA.as_bytes(), b"\r\n"]), &[GGA]);
        check(&with(&[&[0xB5, 0x62, 1, 7, 0xFF, 0xFF], GGA.as_bytes(), b"\r\n"]), &[GGA]);
        check(&with(&[&[0xB5, 0xB5], &ACK[1..]]), &["0501"]);
    }

    #[test]
    fn every_beginning_of_a_message_waits_for_its_end_and_gives_none() {
        let whole = with(&[GGA.as_bytes(), b"\r\n"]);
        for length in 0..whole.len() - 1 {
            check(&whole[..length], &[]);
        }
        for length in 0..ACK.len() {
            check(&ACK[..length], &[]);
        }
    }

    #[test]
    fn a_sentence_within_a_packet_is_the_packets_own() {
        let mut packet = with(&[&[0xB5, 0x62, 0x0A, 0x04, 8, 0], b"$GPGGA,\n"]);
        let [a, b] = packet[2..].iter().fold([0_u8; 2], |[a, b], byte| {
            let a = a.wrapping_add(*byte);
            [a, b.wrapping_add(a)]
        });
        packet.extend([a, b]);
        check(&packet, &["0a04"]);
    }
}

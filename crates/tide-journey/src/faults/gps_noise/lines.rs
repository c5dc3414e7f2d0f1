//! Lines of noise, each of another kind.

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::spoken::{self, State};

/// One line in so many is as long as nobody sends.
const LONG_LINE_EVERY: u32 = 400;

const LONG_LINE_BYTES: usize = 10_240;

/// Every kind of good message, of some moment.
pub(super) fn good_messages(random: &mut StdRng) -> Vec<Vec<u8>> {
    let told = other_time(random);
    let texts = [
        spoken::rmc(told, State::Fix),
        spoken::gga(told, State::Fix),
        spoken::gsa(State::Fix),
        spoken::rmc(told, State::Void),
        spoken::sentence(&format!("GNGLL,3531.12340,N,02401.56780,E,{},A,A", told.strftime("%H%M%S.00"))),
        spoken::sentence(&format!("GNZDA,{},00,00", told.strftime("%H%M%S.00,%d,%m,%Y"))),
        spoken::sentence(&format!(
            "GNGNS,{},3531.12340,N,02401.56780,E,AA,09,0.90,12.3,20.1,,",
            told.strftime("%H%M%S.00")
        )),
        spoken::sentence("GPGSV,3,1,09,02,05,307,24,03,21,174,29,04,12,038,23,06,07,270,06"),
    ];
    let packet = spoken::nav_pvt(told, State::Fix);
    texts.into_iter().map(String::into_bytes).chain([packet]).collect()
}

/// Adds one line.
pub(super) fn add(noise: &mut Vec<u8>, random: &mut StdRng) {
    if random.random_range(0..LONG_LINE_EVERY) == 0 {
        return long_line(noise, random);
    }
    let mut message = good_message(random);
    match random.random_range(0..10) {
        0 => message = random_bytes(300, random),
        1 | 2 => flip(&mut message, random),
        3 => message.truncate(random.random_range(0..message.len())),
        4 => message = [&message[..], &message].concat(),
        5 => insert(&mut message, random),
        6 => wrong_checksum(&mut message, random),
        7 => merge(&mut message, random),
        8 => packet(&mut message, random),
        // Without its line's end.
        _ => message.truncate(message.len() - random.random_range(1..5)),
    }
    noise.append(&mut message);
    if random.random_range(0..4) == 0 {
        noise.extend_from_slice(b"\r\n");
    }
}

/// A line of gpsd's, more often than not no longer whole.
pub(super) fn of_gpsd(random: &mut StdRng) -> Vec<u8> {
    let time = other_time(random);
    let lines = [
        format!("{{\"class\":\"TPV\",\"device\":\"/dev/tide-gps\",\"mode\":3,\"time\":\"{time}\",\"ept\":0.005,\"lat\":35.5}}"),
        "{\"class\":\"VERSION\",\"release\":\"3.22\",\"rev\":\"3.22\",\"proto_major\":3,\"proto_minor\":14}".to_owned(),
        "{\"class\":\"DEVICES\",\"devices\":[{\"class\":\"DEVICE\",\"path\":\"/dev/pts/1\",\"bps\":4800}]}".to_owned(),
        "{\"class\":\"TOFF\",\"device\":\"/dev/x\",\"real_sec\":1,\"real_nsec\":2,\"clock_sec\":3,\"clock_nsec\":4}".to_owned(),
        "{\"class\":\"PPS\",\"device\":\"/dev/x\",\"real_sec\":9223372036854775807,\"real_nsec\":-1,\"clock_sec\":9223372036854775807,\
         \"clock_nsec\":4,\"precision\":-20}"
            .to_owned(),
        "[".repeat(300),
    ];
    let mut line = lines[random.random_range(0..lines.len())].clone().into_bytes();
    match random.random_range(0..5) {
        0 => flip(&mut line, random),
        1 => line.truncate(random.random_range(0..line.len())),
        2 => insert(&mut line, random),
        3 => line = random_bytes(400, random),
        _ => (),
    }
    line
}

/// A time from 00:00 to 06:00 of some day that can be.
fn other_time(random: &mut StdRng) -> Timestamp {
    const FIRST_DAY: i64 = 20_900;
    let second = random.random_range(FIRST_DAY..FIRST_DAY + 5_000) * 86_400 + random.random_range(0..6 * 3_600);
    Timestamp::from_second(second).unwrap_or_default()
}

fn good_message(random: &mut StdRng) -> Vec<u8> {
    let mut messages = good_messages(random);
    messages.swap_remove(random.random_range(0..messages.len()))
}

fn random_bytes(most: usize, random: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..most)];
    random.fill_bytes(&mut bytes);
    bytes
}

fn flip(bytes: &mut [u8], random: &mut StdRng) {
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
    }
}

/// NULs, or anything else, somewhere within.
fn insert(bytes: &mut Vec<u8>, random: &mut StdRng) {
    let at = random.random_range(0..bytes.len());
    let count = random.random_range(1..20);
    let byte = if random.random() { 0 } else { random.random() };
    bytes.splice(at..at, std::iter::repeat_n(byte, count));
}

/// One digit of the checksum, or of what it is about, is another.
fn wrong_checksum(bytes: &mut [u8], random: &mut StdRng) {
    let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
    if let Some(at) = digits.get(random.random_range(0..digits.len().max(1))) {
        bytes[*at] = b'0' + (bytes[*at] - b'0' + random.random_range(1..10)) % 10;
    }
}

/// Two messages that have lost their middle.
fn merge(message: &mut Vec<u8>, random: &mut StdRng) {
    let other = good_message(random);
    message.truncate(random.random_range(0..message.len()));
    message.extend_from_slice(&other[random.random_range(0..other.len())..]);
}

/// Packets: broken, cut, of another length than they say, or a beginning with nothing behind it.
fn packet(message: &mut Vec<u8>, random: &mut StdRng) {
    *message = spoken::nav_pvt(other_time(random), State::Fix);
    match random.random_range(0..5) {
        0 => flip(message, random),
        1 => message.truncate(random.random_range(0..message.len())),
        2 => message[4..6].copy_from_slice(&random.random::<[u8; 2]>()),
        3 => {
            let length = random.random_range(0..2_561_u16).to_le_bytes();
            *message = [&[0xB5, 0x62, 0x01, 0x07], &length[..]].concat();
        }
        // A good one of a kind that tells nothing, or of no known kind.
        _ => *message = spoken::packet((random.random_range(0x30..0xFF), random.random()), &random_bytes(300, random)),
    }
}

fn long_line(noise: &mut Vec<u8>, random: &mut StdRng) {
    match random.random_range(0..4) {
        0 => noise.extend([b'$'; LONG_LINE_BYTES]),
        1 => noise.extend(b"$GNRMC,".iter().copied().chain(std::iter::repeat_n(b'1', LONG_LINE_BYTES))),
        2 => noise.extend([0xB5, 0x62].repeat(LONG_LINE_BYTES / 2)),
        _ => noise.extend(std::iter::repeat_with(|| random.random_range(b' '..=b'~')).take(LONG_LINE_BYTES)),
    }
}

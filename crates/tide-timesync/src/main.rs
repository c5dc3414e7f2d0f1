//! `tide-timesync`: see `tide-timesync --help`.

fn main() {
    let path = std::env::args().nth(1).unwrap_or_default();
    let bytes = std::fs::read(path).unwrap_or_default();
    let mut framer = tide_timesync::receiver::Framer::default();
    let mut epochs = tide_timesync::receiver::Epochs::default();
    let mut fixes = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n').skip_while(|l| l.starts_with(b"#")) {
        framer.push(line, |frame| fixes.extend(epochs.take(frame, None)));
    }
    for fix in fixes.iter().filter(|fix| fix.mode >= 2) {
        println!("{}", fix.to_json());
    }
}

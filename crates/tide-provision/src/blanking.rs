//! Takes secrets out of a file, and leaves every other byte as it was.

use std::ops::Range;

use crate::settings::document::Document;
use crate::settings::env_file::{EnvFile, TOKEN};

/// What a blank secret looks like in TOML.
const BLANK: &str = "\"\"";

/// Where secrets stand in `tide.toml`.
const SECRETS: &[&[&str]] = &[&["server", "token"], &["wifi", "password"]];

/// Shorter ones may be words of a comment. Ours: no password is shorter.
const MIN_SECRET_BYTES: usize = 8;

/// The settings with each secret's value replaced by `""`; none if there is none to replace.
pub fn blank_toml(text: &str) -> Option<String> {
    replaced(text, |_| BLANK.to_owned())
}

/// The same with the line ends that a secret over several lines had, so that the lines keep their numbers: to be judged.
pub fn blank_toml_line_by_line(text: &str) -> Option<String> {
    replaced(text, |secret| format!("{BLANK}{}", "\n".repeat(secret.matches('\n').count())))
}

fn replaced(text: &str, blank: impl Fn(&str) -> String) -> Option<String> {
    let body = text.trim_start_matches('\u{feff}');
    let mark_bytes = text.len() - body.len();
    let document = Document::parse(body).ok()?;
    let mut secrets: Vec<(Range<usize>, &str)> = SECRETS.iter().filter_map(|path| secret_at(&document, path)).collect();
    secrets.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    let mut blanked = text.to_owned();
    for (place, _) in &secrets {
        let place = place.start + mark_bytes..place.end + mark_bytes;
        let secret = text.get(place.clone())?.to_owned();
        blanked.replace_range(place, &blank(&secret));
    }
    let blanked = secrets.iter().fold(blanked, |blanked, (_, secret)| without_in_comments(blanked, secret));
    (!secrets.is_empty()).then_some(blanked)
}

/// Where the text of a secret stands, with its quotes; and the secret.
fn secret_at<'d>(document: &'d Document<'_>, path: &[&str]) -> Option<(Range<usize>, &'d str)> {
    let value = document.get(path)?;
    let secret = value.get_ref().as_str().filter(|text| !text.is_empty())?;
    Some((value.span(), secret))
}

/// Takes a copy of the secret out of comments. Where it is part of another setting it stays.
pub fn without_in_comments(text: String, secret: &str) -> String {
    if secret.len() < MIN_SECRET_BYTES || !text.contains(secret) {
        return text;
    }
    let table = |text: &str| toml::from_str::<toml::Table>(text.trim_start_matches('\u{feff}')).ok();
    let without = text.replace(secret, "");
    if table(&without).is_some_and(|settings| Some(settings) == table(&text)) { without } else { text }
}

/// What became of a `.env`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlankedEnv {
    /// It holds no token.
    AsItWas,
    /// The file without it.
    Without(String),
    /// The token stands there in a way that is not understood.
    Impossible,
}

/// A prototype's file without the value of `TIDE_TOKEN`.
pub fn blank_env(text: &str) -> BlankedEnv {
    let body = text.trim_start_matches('\u{feff}');
    let Ok(before) = EnvFile::parse(body) else { return BlankedEnv::Impossible };
    let lines =
        text.split_inclusive('\n').map(|line| if sets_token(line) { without_value(line) } else { line.to_owned() });
    let blanked: String = lines.collect();
    if blanked == text {
        let has_token = before.last(&[TOKEN]).is_some();
        return if has_token { BlankedEnv::Impossible } else { BlankedEnv::AsItWas };
    }
    // Read again rather than trusted: quotes may go over lines.
    let after = EnvFile::parse(blanked.trim_start_matches('\u{feff}'));
    let is_the_rest =
        after.is_ok_and(|after| after.last(&[TOKEN]).is_none() && after.without_token() == before.without_token());
    if is_the_rest { BlankedEnv::Without(blanked) } else { BlankedEnv::Impossible }
}

fn sets_token(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim_start();
    let line = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(line).trim_start();
    line.strip_prefix(TOKEN).is_some_and(|rest| rest.trim_start().starts_with('='))
}

fn without_value(line: &str) -> String {
    let end = line.trim_end_matches(['\r', '\n']).len();
    let name = line.find('=').map_or(end, |at| at + 1);
    format!("{}{}", &line[..name], &line[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, after: &str) {
        assert_eq!(blank_toml(before).as_deref(), Some(after));
        toml::from_str::<toml::Table>(after.trim_start_matches('\u{feff}')).unwrap();
    }

    #[test]
    fn every_form_of_a_text_is_blanked_and_all_else_stays() {
        for (before, after) in [
            ("[server]\ntoken = \"s3cret\" # keep\n", "[server]\ntoken = \"\" # keep\n"),
            ("[server]\r\ntoken='s3cret'\r\nurl = \"x\"\r\n", "[server]\r\ntoken=\"\"\r\nurl = \"x\"\r\n"),
            ("[server]\ntoken = \"\"\"\ns3cret\"\"\"\nurl = 'x'", "[server]\ntoken = \"\"\nurl = 'x'"),
            ("[server]\ntoken = '''s3\ncret'''\n", "[server]\ntoken = \"\"\n"),
            ("[server]\ntoken = \"s3\\\"cr\\u0065t\"\n", "[server]\ntoken = \"\"\n"),
            ("server.token = \"s3cret\"\nserver.url = 'x'\n", "server.token = \"\"\nserver.url = 'x'\n"),
            ("server . \"token\" = \"s3cret\"\n", "server . \"token\" = \"\"\n"),
            (
                "server = { url = 'x', token = 's3cret', certificate = 'public' }\n",
                "server = { url = 'x', token = \"\", certificate = 'public' }\n",
            ),
            ("\u{feff}# \u{3b1}\n[server]\ntoken = 's3cret'\n", "\u{feff}# \u{3b1}\n[server]\ntoken = \"\"\n"),
            (
                "[wifi]\npassword = 'p4ssword'\n\n[server]\ntoken = 's3cret'",
                "[wifi]\npassword = \"\"\n\n[server]\ntoken = \"\"",
            ),
            ("[wifi]\npassword = ''\n[server]\ntoken = 's3cret'", "[wifi]\npassword = ''\n[server]\ntoken = \"\""),
        ] {
            check(before, after);
        }
        for nothing in
            ["", "[server]\ntoken = ''\n", "token = 'another'\n", "[server]\ntoken = 5\n", "[server\ntoken = 'x'"]
        {
            assert_eq!(blank_toml(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_copy_in_a_comment_goes_with_it() {
        check(
            "server.token = 'tide_s3cret' # was tide_s3cret\n#token = 'tide_s3cret'\n",
            "server.token = \"\" # was \n#token = ''\n",
        );
        check(
            "server.token = 'tide_s3cret'\nlog = 'tide_s3cret' # tide_s3cret\n",
            "server.token = \"\"\nlog = 'tide_s3cret' # tide_s3cret\n",
        );
        check("server.token = 'pier' # on the pier\n", "server.token = \"\" # on the pier\n");
    }

    #[test]
    fn lines_keep_their_numbers_where_that_matters() {
        let text = "[server]\ntoken = '''\ns3\ncret'''\nurl = 5\n";
        let blanked = blank_toml_line_by_line(text).unwrap();
        assert_eq!(blanked, "[server]\ntoken = \"\"\n\n\nurl = 5\n");
        assert_eq!(blanked.lines().count(), text.lines().count());
    }

    #[test]
    fn a_prototypes_token_is_blanked_in_its_line() {
        let without = |text: &str| BlankedEnv::Without(text.to_owned());
        for (before, after) in [
            ("SERVER_URL=https://a\nTIDE_TOKEN=s3cret\nX=1\n", without("SERVER_URL=https://a\nTIDE_TOKEN=\nX=1\n")),
            ("export TIDE_TOKEN = 's3 cret'\r\nFLASH_GPIO=5\r\n", without("export TIDE_TOKEN =\r\nFLASH_GPIO=5\r\n")),
            ("\u{feff}TIDE_TOKEN=\"s3cret\" # note", without("\u{feff}TIDE_TOKEN=")),
            ("TIDE_TOKEN=a\nTIDE_TOKEN=b\n", without("TIDE_TOKEN=\nTIDE_TOKEN=\n")),
            ("FLASH_GPIO=5\n", BlankedEnv::AsItWas),
            ("#TIDE_TOKEN=old\nTIDE_TOKEN=\n", BlankedEnv::AsItWas),
            ("TIDE_TOKEN=\"s3\ncret\"\n", BlankedEnv::Impossible),
            ("TIDE_TOKEN='s3cret\n", BlankedEnv::Impossible),
        ] {
            assert_eq!(blank_env(before), after, "{before}");
        }
    }
}

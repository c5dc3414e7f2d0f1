//! Requests that are wrong in their form, byte by byte.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use rustls::ClientConfig;
use tide_photo::{Digest, wire};

use crate::hand::manifest;
use crate::raw::{BOUNDARY, RawConnection, form, part};

/// What is needed to speak to the server as one of its stations.
pub(super) struct Target {
    pub(super) port: u16,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) station: &'static str,
    pub(super) token: String,
    /// A photo that the server would take.
    pub(super) jpeg: Vec<u8>,
}

/// Header lines of parts, and what they are about.
type Parts<'a> = &'a [(&'a str, &'a [u8])];

/// One wrong request.
struct Probe {
    what: String,
    bytes: Vec<u8>,
    /// Nothing more will come, though more was announced.
    is_cut: bool,
    /// 1, but for what is so little HTTP that there is nobody to answer.
    answers: usize,
}

impl Target {
    /// Opens a connection.
    pub(super) async fn connect(&self) -> anyhow::Result<RawConnection> {
        RawConnection::open_from(Ipv4Addr::LOCALHOST, self.port, Arc::clone(&self.tls)).await
    }

    /// A request with a token, to be answered on a connection that then ends.
    pub(super) fn request(&self, line: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
        let mut bytes = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").into_bytes();
        bytes.extend(format!("Authorization: Bearer {}\r\n", self.token).into_bytes());
        for header in headers {
            bytes.extend(header.as_bytes());
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        bytes
    }

    /// The same with a form and its length.
    fn request_with_form(&self, line: &str, body: &[u8]) -> Vec<u8> {
        self.request(line, &[&form_type(BOUNDARY), &format!("Content-Length: {}", body.len())], body)
    }

    fn put_line(&self) -> String {
        format!("PUT {}", wire::photo_path(&Digest::of(&self.jpeg)))
    }

    /// Sends each wrong request over a connection of its own; how many there were.
    pub(super) async fn send_wrong_requests(&self) -> anyhow::Result<usize> {
        let probes = [self.wrong_forms(), self.wrong_types(), self.wrong_heads(), self.wrong_lengths()];
        let probes: Vec<Probe> = probes.into_iter().flatten().collect();
        let mut wrong = Vec::new();
        for probe in &probes {
            if let Err(error) = self.refuse(probe).await {
                wrong.push(format!("{}: {error:#}", probe.what));
            }
        }
        ensure!(wrong.is_empty(), "{} of {} probes went wrong: {wrong:#?}", wrong.len(), probes.len());
        Ok(probes.len())
    }

    /// One answer, 4xx, that no browser takes for a page; then the server hangs up.
    async fn refuse(&self, probe: &Probe) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        // A server that has seen enough may hang up while the rest is still being sent.
        let _ = connection.send(&probe.bytes).await;
        if probe.is_cut {
            let _ = connection.end().await;
        }
        let answers = connection.answers().await?;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        ensure!(
            statuses.len() == probe.answers && statuses.iter().all(|status| (400..500).contains(status)),
            "answered with {statuses:?}"
        );
        let is_page = answers.iter().any(|answer| answer.header("content-type").contains("html"));
        ensure!(!is_page, "answered as HTML: {answers:?}");
        Ok(())
    }

    fn wrong_forms(&self) -> Vec<Probe> {
        let json = manifest(self.station, &self.jpeg).to_string();
        let (json, jpeg) = (json.as_bytes(), self.jpeg.as_slice());
        let (manifest, image, timestamp) = (part(wire::MANIFEST_PART), part(wire::IMAGE_PART), part("timestamp"));
        let (manifest, image, timestamp) = (manifest.as_str(), image.as_str(), timestamp.as_str());
        let words = b"2026-05-31T18:00:00Z".as_slice();
        let long_header = format!("{manifest}; x=\"{}\"", "x".repeat(50_000));
        let deep = "[".repeat(15_000);
        let too_long = [json, " ".repeat(20_000).as_bytes()].concat();
        let followed = [json, b"{}"].concat();
        let crowd: Vec<(&str, &[u8])> = std::iter::repeat_n((timestamp, words), 500).collect();
        let photos: [(&str, Parts); 20] = [
            ("no parts", &[]),
            ("no image", &[(manifest, json)]),
            ("no manifest", &[(image, jpeg)]),
            ("image before manifest", &[(image, jpeg), (manifest, json)]),
            ("manifest twice", &[(manifest, json), (manifest, json), (image, jpeg)]),
            ("image twice", &[(manifest, json), (image, jpeg), (image, jpeg)]),
            ("manifest again behind the image", &[(manifest, json), (image, jpeg), (manifest, json)]),
            ("a part more", &[(manifest, json), (image, jpeg), ("Content-Disposition: form-data; name=\"x\"", b"x")]),
            ("a part without a name", &[("Content-Disposition: form-data", json), (image, jpeg)]),
            (
                "a part of an unknown name",
                &[("Content-Disposition: form-data; name=\"Manifest\"", json), (image, jpeg)],
            ),
            ("a part without a disposition", &[("Content-Type: application/json", json), (image, jpeg)]),
            ("a part that is no header", &[("\u{0}\u{1}", json), (image, jpeg)]),
            ("an endless part header", &[(&long_header, json), (image, jpeg)]),
            ("five hundred parts", &crowd),
            ("an empty manifest", &[(manifest, b""), (image, jpeg)]),
            ("a manifest of NULs", &[(manifest, &[0; 100]), (image, jpeg)]),
            ("a manifest that is no UTF-8", &[(manifest, b"{\"station\":\"\xFF\xFE\"}"), (image, jpeg)]),
            ("a manifest nested deeply", &[(manifest, deep.as_bytes()), (image, jpeg)]),
            ("a manifest too long", &[(manifest, &too_long), (image, jpeg)]),
            ("a manifest with another behind it", &[(manifest, &followed), (image, jpeg)]),
        ];
        let uploads: [(&str, Parts); 9] = [
            ("no parts", &[]),
            ("no image", &[(timestamp, words)]),
            ("no timestamp", &[(image, jpeg)]),
            ("image twice", &[(image, jpeg), (image, jpeg), (timestamp, words)]),
            ("timestamp twice", &[(timestamp, words), (image, jpeg), (timestamp, words)]),
            ("a timestamp too long", &[(image, jpeg), (timestamp, &[b'x'; 2_000])]),
            ("an empty image", &[(image, b""), (timestamp, words)]),
            ("a part that is no header", &[("\u{0}\u{1}", jpeg), (timestamp, words)]),
            ("five hundred parts", &crowd),
        ];
        let mut probes = Vec::new();
        for (what, parts) in photos {
            probes.push(probe(&format!("PUT, {what}"), self.request_with_form(&self.put_line(), &form(parts))));
        }
        for (what, parts) in uploads {
            probes.push(probe(&format!("POST, {what}"), self.request_with_form("POST /upload", &form(parts))));
        }
        // Everything but the last boundary.
        for (line, parts) in [
            (self.put_line(), form(&[(manifest, json), (image, jpeg)])),
            ("POST /upload".to_owned(), form(&[(timestamp, words), (image, jpeg)])),
        ] {
            let end = parts.len() - BOUNDARY.len() - 8;
            probes.push(probe(&format!("{line}, no last boundary"), self.request_with_form(&line, &parts[..end])));
            let open = [&parts[..parts.len() - 4], b"\r\n"].concat();
            probes.push(probe(
                &format!("{line}, a last boundary that is not the last"),
                self.request_with_form(&line, &open),
            ));
        }
        probes
    }

    fn wrong_types(&self) -> Vec<Probe> {
        let good = self.good_form();
        let length = format!("Content-Length: {}", good.len());
        let long_boundary = form_type(&"b".repeat(10_000));
        let kinds = [
            "Content-Type: application/json",
            "Content-Type: text/html",
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Type: image/jpeg",
            "Content-Type: multipart/form-data",
            "Content-Type: multipart/form-data; boundary=",
            "Content-Type: multipart/form-data; boundary=other",
            "Content-Type: multipart/mixed; boundary=b0undary",
            "Content-Type: ",
            "X-Nothing: x",
            &long_boundary,
        ];
        let mut probes = Vec::new();
        for line in [self.put_line(), "POST /upload".to_owned()] {
            for kind in kinds {
                probes.push(probe(&format!("{line}, {kind:.60}"), self.request(&line, &[kind, &length], &good)));
            }
        }
        probes
    }

    fn wrong_heads(&self) -> Vec<Probe> {
        let good = self.good_form();
        let length = format!("Content-Length: {}", good.len());
        let kind = form_type(BOUNDARY);
        let long = format!("X-Long: {}", "x".repeat(200_000));
        let many: Vec<String> = (0..300).map(|number| format!("X-{number}: x")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).chain([kind.as_str(), &length]).collect();
        let line = self.put_line();
        let digest = Digest::of(&self.jpeg);
        let mut probes = vec![
            probe("a header of 200 KB", self.request(&line, &[&kind, &length, &long], &good)),
            probe("300 headers", self.request(&line, &many, &good)),
            probe("a header with NUL", self.request(&line, &[&kind, &length, "X-Nul: a\u{0}b"], &good)),
            probe("a header without a colon", self.request(&line, &[&kind, &length, "nonsense"], &good)),
            probe(
                "a space before the colon",
                self.request(&line, &[&kind, &length, "Transfer-Encoding : chunked"], &good),
            ),
            probe("a folded header", self.request(&line, &[&kind, &length, "X-A: a\r\n b"], &good)),
            probe("a path of 100 KB", self.request(&format!("PUT /{}", "x".repeat(100_000)), &[&kind, &length], &good)),
            probe("no HTTP", b"\x16\x03\x01\x02\x00 hello\r\n\r\n".to_vec()),
        ];
        let mut other_version = probe("HTTP/2 without being asked", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec());
        other_version.answers = 0;
        probes.push(other_version);
        for method in ["GET", "POST", "DELETE", "PATCH", "TRACE", "CONNECT", "<script>", "PUT\u{0}"] {
            let line = format!("{method} {}", wire::photo_path(&digest));
            probes.push(probe(&format!("the method {method:?}"), self.request(&line, &[&kind, &length], &good)));
        }
        for name in ["no-digest", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), "%00", "%2e%2e%2f", "<script>"] {
            let line = format!("PUT /api/v1/photos/{name}");
            probes.push(probe(&line.clone(), self.request(&line, &[&kind, &length], &good)));
        }
        probes
    }

    /// Lengths that lie, and pieces that are none (RFC 9112, 6 and 7).
    fn wrong_lengths(&self) -> Vec<Probe> {
        let good = self.good_form();
        let kind = form_type(BOUNDARY);
        let (line, old) = (self.put_line(), "POST /upload");
        let mut probes = Vec::new();
        for lengths in [
            ["Content-Length: 10", "Content-Length: 11"].as_slice(),
            &["Content-Length: -1"],
            &["Content-Length: +100"],
            &["Content-Length: 0x100"],
            &["Content-Length: 1 1"],
            &["Content-Length: 99999999999999999999999"],
            &["Content-Length: 18446744073709551615"],
            &["Content-Length: 0"],
            &["Content-Length: 100"],
            &["Transfer-Encoding: identity"],
            &["Transfer-Encoding: xchunked"],
            &["Transfer-Encoding: chunked, identity"],
            &["Transfer-Encoding: gzip, chunked, x"],
        ] {
            let headers = [[kind.as_str()].as_slice(), lengths].concat();
            for line in [line.as_str(), old] {
                probes.push(probe(&format!("{line}, {lengths:?}"), self.request(line, &headers, &good)));
            }
        }
        let longer = format!("Content-Length: {}", good.len() + 1_000);
        let mut cut =
            probe("a body shorter than it says", self.request(&line, &[&kind, &longer], &good[..good.len() / 2]));
        cut.is_cut = true;
        probes.push(cut);

        let chunked = [kind.as_str(), "Transfer-Encoding: chunked"];
        let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(100_000));
        let trailers = format!("0\r\n{}\r\n", "X-Trailer: x\r\n".repeat(5_000));
        for pieces in [
            "zz\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloworld\r\n0\r\n\r\n",
            "5\nhello\n0\n\n",
            "\r\n\r\n",
            "0\r\n\r\n",
            &long_extension,
            &trailers,
        ] {
            for line in [line.as_str(), old] {
                let what = format!("{line}, pieces {pieces:.20?}");
                probes.push(probe(&what, self.request(line, &chunked, pieces.as_bytes())));
            }
        }
        let mut endless = probe("a piece that never ends", self.request(&line, &chunked, b"FFFFFFFFFFFFFF\r\nhello"));
        endless.is_cut = true;
        probes.push(endless);
        // What one reads as a body, and another as a second request.
        let hidden = "0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let told = format!("Content-Length: {}", hidden.len());
        for both in [[told.as_str(), "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", told.as_str()]] {
            for line in [line.as_str(), old] {
                let request = self.request(line, &[kind.as_str(), both[0], both[1]], hidden.as_bytes());
                // Nobody asks for the end of the connection.
                let request = String::from_utf8_lossy(&request).replace("Connection: close\r\n", "");
                probes.push(probe(&format!("{line}, {both:?} and a hidden request"), request.into_bytes()));
            }
        }
        probes
    }

    fn good_form(&self) -> Vec<u8> {
        let json = manifest(self.station, &self.jpeg).to_string();
        form(&[(&part(wire::MANIFEST_PART), json.as_bytes()), (&part(wire::IMAGE_PART), &self.jpeg)])
    }

    /// Requests that announce 100 MB and send none of it: without a good token they are refused all the same.
    pub(super) async fn announce_bodies_without_a_token(&self) -> anyhow::Result<usize> {
        let put = self.put_line();
        let mut asked = 0;
        for line in [put.as_str(), "POST /upload"] {
            for credentials in [
                "X-Nothing: x",
                "Authorization: Bearer tide_unknown",
                "Authorization: Basic c3RhdGlvbjp0aWRlX3Vua25vd24=",
                "Authorization: Basic \u{ff}",
                "Authorization: Digest x",
                "Authorization:",
            ] {
                for expectation in ["X-Expects: nothing", "Expect: 100-continue"] {
                    let head = format!(
                        "{line} HTTP/1.1\r\nHost: localhost\r\n{credentials}\r\n{expectation}\r\n{}\r\n\
                         Content-Length: 100000000\r\n\r\n",
                        form_type(BOUNDARY)
                    );
                    let mut connection = self.connect().await?;
                    connection.send(head.as_bytes()).await?;
                    let answer = connection.answer().await?.context("the server hung up")?;
                    ensure!(answer.status == 401, "{line}, {credentials}: {answer:?}");
                    asked += 1;
                }
            }
        }
        Ok(asked)
    }

    /// Ways out of a folder, in every address that has a part to fill in; how many were tried.
    pub(super) async fn climb(&self, cookie: &str) -> anyhow::Result<usize> {
        let targets = ["etc/passwd", "catalog/tide.db", "tls/key.pem"];
        let ups =
            ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "%252e%252e%252f", "..%c0%af", "....//", "..;/", "%00/"];
        let mut paths = Vec::new();
        for route in ["/uploads/", "/photo/", "/thumbnails/", "/assets/1/", "/assets/", "/api/v1/photos/", "/"] {
            for target in targets {
                paths.extend(ups.iter().map(|up| format!("{route}{}{target}", up.repeat(6))));
                paths.push(format!("{route}%2f{target}"));
                paths.push(format!("{route}{}", target.replace('/', "%2f")));
            }
        }
        for path in &paths {
            let method = if path.starts_with("/api") { "PUT" } else { "GET" };
            let cookie = format!("Cookie: {cookie}");
            let headers = [cookie.as_str(), "Accept: text/html", "Content-Length: 0"];
            let mut connection = self.connect().await?;
            connection.send(&self.request(&format!("{method} {path}"), &headers, b"")).await?;
            let answer = connection.answer().await?.context("the server hung up")?;
            ensure!((400..500).contains(&answer.status), "{path}: {}", answer.status);
            let text = answer.text();
            let leaked = ["root:", "SQLite format", "PRIVATE KEY"].iter().any(|secret| text.contains(secret));
            ensure!(!leaked, "{path} was found: {text}");
        }
        Ok(paths.len())
    }
}

fn probe(what: &str, bytes: Vec<u8>) -> Probe {
    Probe { what: what.to_owned(), bytes, is_cut: false, answers: 1 }
}

fn form_type(boundary: &str) -> String {
    format!("Content-Type: multipart/form-data; boundary={boundary}")
}

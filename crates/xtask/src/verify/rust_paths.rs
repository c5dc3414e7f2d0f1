//! Reading the names that a source file uses, as the compiler's tokens: comments and strings do not count.

use std::iter::Peekable;
use std::vec::IntoIter;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// One name in a source file, as written: `std::fs::write` is three segments, a keyword one.
#[derive(Debug, Clone)]
pub(super) struct RustPath {
    /// The parts between `::`.
    pub(super) segments: Vec<String>,
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// Whether it is in an item marked `#[cfg(test)]`, or the like.
    pub(super) in_tests: bool,
}

/// Every name in a source, the branches of `use a::{b, c::d}` written out.
///
/// # Errors
/// If the source is not made of Rust's tokens.
pub(super) fn read(source: &str) -> Result<Vec<RustPath>> {
    let tokens: TokenStream = source.parse().map_err(|error| anyhow!("{error}"))?;
    let mut found = Vec::new();
    collect(tokens, false, &mut found);
    Ok(found)
}

type Tokens = Peekable<IntoIter<TokenTree>>;

fn collect(tokens: TokenStream, in_tests: bool, found: &mut Vec<RustPath>) {
    let mut tokens = tokens.into_iter().collect::<Vec<_>>().into_iter().peekable();
    let mut of_whole_group = in_tests;
    let mut of_this_item = false;
    while let Some(token) = tokens.next() {
        let in_tests = of_whole_group || of_this_item;
        match token {
            TokenTree::Ident(first) => collect_path(&first, &mut tokens, in_tests, found),
            TokenTree::Group(group) => {
                of_this_item &= group.delimiter() != Delimiter::Brace;
                collect(group.stream(), in_tests, found);
            }
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                let is_inner = take_mark(&mut tokens, '!');
                if next_group(&tokens.peek().cloned(), Delimiter::Bracket).is_some_and(|group| is_test_marker(&group)) {
                    of_whole_group |= is_inner;
                    of_this_item |= !is_inner;
                }
            }
            TokenTree::Punct(mark) => of_this_item &= mark.as_char() != ';',
            TokenTree::Literal(_) => (),
        }
    }
}

fn collect_path(first: &Ident, tokens: &mut Tokens, in_tests: bool, found: &mut Vec<RustPath>) {
    let mut path = RustPath { segments: vec![first.to_string()], line: first.span().start().line, in_tests };
    while take_mark(tokens, ':') && take_mark(tokens, ':') {
        let next = tokens.peek().cloned();
        if let Some(TokenTree::Ident(segment)) = &next {
            path.segments.push(segment.to_string());
            tokens.next();
        } else if let Some(branches) = next_group(&next, Delimiter::Brace) {
            tokens.next();
            return collect_branches(&path, &branches, found);
        }
    }
    found.push(path);
}

fn collect_branches(trunk: &RustPath, branches: &Group, found: &mut Vec<RustPath>) {
    let mut paths = Vec::new();
    collect(branches.stream(), trunk.in_tests, &mut paths);
    found.extend(
        paths
            .into_iter()
            .map(|path| RustPath { segments: trunk.segments.iter().cloned().chain(path.segments).collect(), ..path }),
    );
}

fn take_mark(tokens: &mut Tokens, mark: char) -> bool {
    tokens.next_if(|token| matches!(token, TokenTree::Punct(found) if found.as_char() == mark)).is_some()
}

fn next_group(token: &Option<TokenTree>, delimiter: Delimiter) -> Option<Group> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group.clone()),
        _ => None,
    }
}

/// Whether an attribute is `cfg(test)`, or a `cfg(any(...))` or `cfg(all(...))` with `test` in it.
fn is_test_marker(attribute: &Group) -> bool {
    let mut names = Vec::new();
    collect(attribute.stream(), false, &mut names);
    let is = |index: usize, word: &str| names.get(index).is_some_and(|path: &RustPath| path.segments == [word]);
    is(0, "cfg") && (1..names.len()).any(|index| is(index, "test")) && !(1..names.len()).any(|index| is(index, "not"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        read(source).unwrap().into_iter().map(|path| path.segments.join("::")).collect()
    }

    /// The names outside and inside tests.
    fn outside_and_inside(source: &str) -> (Vec<String>, Vec<String>) {
        let (inside, outside): (Vec<_>, Vec<_>) = read(source).unwrap().into_iter().partition(|path| path.in_tests);
        let names = |paths: Vec<RustPath>| paths.into_iter().map(|path| path.segments.join("::")).collect();
        (names(outside), names(inside))
    }

    #[test]
    fn comments_and_strings_hold_no_names() {
        assert_eq!(paths("// unsafe\n/* unsafe */ fn a() { \"unsafe\"; r#\"unsafe\"#; 'u'; }"), ["fn", "a"]);
    }

    #[test]
    fn a_path_is_one_name() {
        assert_eq!(paths("::std::fs::write(a, b); x: u8"), ["std::fs::write", "a", "b", "x", "u8"]);
        assert_eq!(paths("sqlx::query_as::<_, Row>(text)"), ["sqlx::query_as", "_", "Row", "text"]);
    }

    #[test]
    fn branches_of_a_use_are_written_out() {
        let expected = ["use", "std::io", "std::fs::self", "std::fs::File"];
        assert_eq!(paths("use std::{io, fs::{self, File}};"), expected);
    }

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(read("fn a() {\n    b::c();\n}").unwrap()[2].line, 2);
    }

    #[test]
    fn test_modules_are_marked_to_their_end() {
        let (outside, inside) = outside_and_inside("#[cfg(test)] mod t { fn a() { b } } fn c() {}");
        assert_eq!(outside, ["fn", "c"]);
        assert_eq!(inside, ["cfg", "test", "mod", "t", "fn", "a", "b"]);
    }

    #[test]
    fn a_marked_declaration_ends_at_its_semicolon() {
        assert_eq!(outside_and_inside("#[cfg(any(test, feature = \"f\"))] mod t; a").0, ["a"]);
    }

    #[test]
    fn a_whole_file_can_be_marked() {
        assert_eq!(outside_and_inside("#![cfg(test)] fn a() {}").1, ["cfg", "test", "fn", "a"]);
    }

    #[test]
    fn what_is_left_out_of_tests_is_not_in_them() {
        assert!(outside_and_inside("#[cfg(not(test))] fn a() {}").1.is_empty());
    }
}

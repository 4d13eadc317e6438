//! TOML files of people, read so that every mistake is named with its place: line, column, the line itself.
//!
//! A file is read as a whole by serde, which stops at the first mistake. That one is noted and its entry left out, and
//! the rest is read again, until nothing is wrong with it any more or the bound on remarks is reached.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::limits::{PAYLOAD_BYTES_MAX, REMARKS_MAX};

/// One step to a part of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// To the value of a key.
    Key(String),
    /// To an element of an array.
    Index(usize),
}

/// Where something stands in a document: `requirements.evaluation.claims[0]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place(pub Vec<Step>);

impl Place {
    /// The value of `key` in this one.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// The element `index` of this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Whether this is `other`, or lies in it.
    pub fn is_in(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if n == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It does not stand.
    Error,
    /// It stands, and probably means something else than was meant.
    Warning,
}

/// One thing that is wrong with what a document says, whatever form the document has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// The check that failed.
    pub check: &'static str,
    /// Where.
    pub place: Place,
    /// Whether the key is meant, and not its value.
    pub is_key: bool,
    /// From which byte of the text there, where it is about a part of it.
    pub within: Option<usize>,
    /// What is wrong, and what was probably meant.
    pub text: String,
}

/// A fault with its place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    /// How bad it is.
    pub severity: Severity,
    /// The check that failed.
    pub check: String,
    /// What is wrong, and what was probably meant.
    pub text: String,
    /// Where in the document, as `requirements.evaluation.claims[0]`; empty for all of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// Where in the file, if it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct At {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters of the line it is about.
    pub length: usize,
    /// The line.
    pub excerpt: String,
}

impl Remark {
    /// A fault in a document that came without text.
    pub(crate) fn bare(fault: &Fault) -> Self {
        Self {
            severity: fault.severity,
            check: fault.check.to_owned(),
            text: fault.text.clone(),
            place: fault.place.to_string(),
            at: None,
        }
    }

    /// The line with a mark below it, where it came from a file.
    pub fn excerpt(&self) -> Option<String> {
        let at = self.at.as_ref()?;
        let number = at.line.to_string();
        let margin = " ".repeat(number.len());
        let indent: String =
            at.excerpt.chars().take(at.column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
        Some(format!("{number} | {}\n{margin} | {indent}{}", at.excerpt, "^".repeat(at.length.max(1))))
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.at, self.place.as_str()) {
            (Some(at), _) => write!(f, "line {}, column {}: ", at.line, at.column)?,
            (None, "") => {}
            (None, place) => write!(f, "{place}: ")?,
        }
        f.write_str(&self.text)
    }
}

/// A file that was parsed.
pub(crate) struct Source<'t> {
    text: &'t str,
    table: Spanned<DeTable<'t>>,
}

/// What came of reading a file.
pub(crate) struct Read<'t, T> {
    /// What the file says, what is wrong left out; none where too little is left.
    pub(crate) value: Option<T>,
    /// What was left out.
    pub(crate) dropped: Vec<Place>,
    /// What is wrong.
    pub(crate) remarks: Vec<Remark>,
    /// For further remarks; none when it is no TOML.
    pub(crate) source: Option<Source<'t>>,
}

/// Reads a file. `fillers` stand in for fields that are missing: names, each with a TOML value.
pub(crate) fn read<'t, T: DeserializeOwned>(
    text: &'t str,
    fillers: &[(&'static str, &'static str)],
) -> Read<'t, T> {
    if text.len() > PAYLOAD_BYTES_MAX {
        let text = format!("the file has {} bytes, more than {PAYLOAD_BYTES_MAX}", text.len());
        let remark =
            Remark { severity: Severity::Error, check: "size".into(), text, place: String::new(), at: None };
        return Read { value: None, dropped: Vec::new(), remarks: vec![remark], source: None };
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let source = Source { text, table };
    if !errors.is_empty() {
        let remarks = errors.iter().take(REMARKS_MAX).map(|error| source.broken("syntax", error)).collect();
        return Read { value: None, dropped: Vec::new(), remarks, source: None };
    }
    let mut left = source.table.clone();
    let (mut dropped, mut remarks) = (Vec::new(), Vec::new());
    // A mistake takes at most two rounds: one to leave it out, one to put something in its place.
    for _ in 0..2 * REMARKS_MAX {
        let error = match T::deserialize(Deserializer::from(left.clone())) {
            Ok(value) => return Read { value: Some(value), dropped, remarks, source: Some(source) },
            Err(error) => error,
        };
        let found = error.span().and_then(|span| smallest(left.get_ref(), &span));
        let missing = quoted(error.message()).next().filter(|_| error.message().starts_with("missing field"));
        let filler = fillers.iter().find(|(name, _)| Some(*name) == missing);
        match (found, filler.and_then(|(name, value)| Some((*name, unplaced(DeValue::parse(value).ok()?))))) {
            (place, Some((name, value))) => {
                let place = place.unwrap_or_default();
                // What was left out because it is wrong is missing now, and was named.
                if !dropped.contains(&place.key(name)) {
                    remarks.push(source.broken("shape", &error));
                }
                if !insert(left.get_mut(), &place.0, name, value) {
                    break;
                }
                dropped.push(place.key(name));
            }
            (Some(place), None) => {
                remarks.push(source.broken("shape", &error));
                remove(left.get_mut(), &place.0);
                dropped.push(place);
            }
            (None, None) => {
                remarks.push(source.broken("shape", &error));
                break;
            }
        }
    }
    Read { value: None, dropped, remarks, source: Some(source) }
}

impl Source<'_> {
    /// A fault, where it stands in this file.
    pub(crate) fn remark(&self, fault: &Fault) -> Remark {
        let (mut key, mut value) = (0..0, Some(&self.table).map(|table| (table.span(), None)));
        let mut table = Some(self.table.get_ref());
        let mut array: Option<&[Spanned<DeValue<'_>>]> = None;
        for step in &fault.place.0 {
            let next = match step {
                Step::Key(name) => table.and_then(|table| {
                    let (found, value) = table.iter().find(|(found, _)| found.get_ref() == name)?;
                    key = found.span();
                    Some(value)
                }),
                Step::Index(index) => array.and_then(|array| array.get(*index)),
            };
            let Some(next) = next else { break };
            value = Some((next.span(), next.get_ref().as_str()));
            table = next.get_ref().as_table();
            array = next.get_ref().as_array().map(|array| &**array);
        }
        let span = match (value, fault.within) {
            _ if fault.is_key => key,
            // The part is found where the text stands in the file as it is, without escapes.
            (Some((span, Some(text))), Some(within)) => {
                let raw = self.text.get(span.clone()).unwrap_or_default();
                match raw.find(text) {
                    Some(begin) => {
                        let at = span.start + begin + within.min(text.len());
                        at..at + 1
                    }
                    None => span,
                }
            }
            (Some((span, _)), _) => span,
            (None, _) => 0..0,
        };
        Remark { at: Some(at(self.text, &span)), ..Remark::bare(fault) }
    }

    fn broken(&self, check: &str, error: &toml::de::Error) -> Remark {
        let mut text = error.message().to_owned();
        let mut names = quoted(error.message());
        if let (true, Some(found)) = (error.message().starts_with("unknown "), names.next()) {
            text.push_str(&did_you_mean(found, names));
        }
        let place = error.span().and_then(|span| smallest(self.table.get_ref(), &span)).unwrap_or_default();
        Remark {
            severity: Severity::Error,
            check: check.to_owned(),
            text,
            place: place.to_string(),
            at: error.span().map(|span| at(self.text, &span)),
        }
    }
}

/// Where bytes of a text stand: from the first of them to the last on the same line.
fn at(text: &str, span: &Range<usize>) -> At {
    let before = text.get(..span.start).unwrap_or(text);
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(begin..).unwrap_or_default().lines().next().unwrap_or_default();
    let column = before.get(begin..).unwrap_or_default().chars().count() + 1;
    let within = text.get(span.clone()).unwrap_or_default();
    let length = within.lines().next().unwrap_or_default().chars().count();
    let shown = line.chars().count().saturating_sub(column - 1).max(1);
    At {
        line: before.matches('\n').count() + 1,
        column,
        length: length.clamp(1, shown),
        excerpt: line.to_owned(),
    }
}

/// What a message of serde quotes.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

/// The smallest entry or element that a span lies in.
fn smallest(table: &DeTable<'_>, span: &Range<usize>) -> Option<Place> {
    let mut best: Option<(usize, Place)> = None;
    in_table(table, &Place::default(), span, &mut best);
    best.map(|(_, place)| place)
}

fn offer(within: &Range<usize>, place: &Place, span: &Range<usize>, best: &mut Option<(usize, Place)>) {
    let fits = within.start <= span.start && span.end <= within.end && !within.is_empty();
    if fits && best.as_ref().is_none_or(|(length, _)| within.len() <= *length) {
        *best = Some((within.len(), place.clone()));
    }
}

fn in_table(table: &DeTable<'_>, place: &Place, span: &Range<usize>, best: &mut Option<(usize, Place)>) {
    for (key, value) in table {
        let place = place.key(key.get_ref());
        offer(&key.span(), &place, span, best);
        in_value(value, &place, span, best);
    }
}

fn in_value(
    value: &Spanned<DeValue<'_>>,
    place: &Place,
    span: &Range<usize>,
    best: &mut Option<(usize, Place)>,
) {
    offer(&value.span(), place, span, best);
    match value.get_ref() {
        DeValue::Table(table) => in_table(table, place, span, best),
        DeValue::Array(array) => {
            array.iter().enumerate().for_each(|(n, element)| in_value(element, &place.index(n), span, best));
        }
        _ => {}
    }
}

/// A value that stands nowhere in the file.
fn unplaced(value: Spanned<DeValue<'_>>) -> Spanned<DeValue<'_>> {
    let value = match value.into_inner() {
        DeValue::Array(array) => DeValue::Array(array.into_iter().map(unplaced).collect()),
        other => other,
    };
    Spanned::new(0..0, value)
}

/// Puts a value into the table at `place`. Whether there is one.
fn insert<'t>(table: &mut DeTable<'t>, place: &[Step], name: &'t str, value: Spanned<DeValue<'t>>) -> bool {
    let Some((first, rest)) = place.split_first() else {
        table.insert(Spanned::new(0..0, name.into()), value);
        return true;
    };
    let mut next = match first {
        Step::Key(key) => table.get_mut(key.as_str()),
        Step::Index(_) => None,
    };
    let mut rest = rest.iter();
    while let Some(found) = next {
        match (found.get_mut(), rest.next()) {
            (DeValue::Table(table), None) => {
                table.insert(Spanned::new(0..0, name.into()), value);
                return true;
            }
            (DeValue::Table(table), Some(Step::Key(key))) => next = table.get_mut(key.as_str()),
            (DeValue::Array(array), Some(Step::Index(index))) => next = array.get_mut(*index),
            _ => return false,
        }
    }
    false
}

fn remove(table: &mut DeTable<'_>, place: &[Step]) {
    match place {
        [Step::Key(key)] => {
            table.remove(key.as_str());
        }
        [Step::Key(key), rest @ ..] => {
            if let Some(value) = table.get_mut(key.as_str()) {
                remove_in(value.get_mut(), rest);
            }
        }
        _ => {}
    }
}

fn remove_in(value: &mut DeValue<'_>, place: &[Step]) {
    match (value, place) {
        (DeValue::Table(table), place) => remove(table, place),
        (DeValue::Array(array), [Step::Index(index)]) => {
            let elements = array.clone().into_iter().enumerate();
            *array = elements.filter(|(n, _)| n != index).map(|(_, element)| element).collect();
        }
        (DeValue::Array(array), [Step::Index(index), rest @ ..]) => {
            if let Some(element) = array.get_mut(*index) {
                remove_in(element.get_mut(), rest);
            }
        }
        _ => {}
    }
}

/// `; did you mean "..."?` for the name that comes nearest, or nothing when none comes near.
pub(crate) fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    // Longer names are compared for as long as anybody types by hand.
    let name: String = name.chars().take(64).collect();
    known
        .into_iter()
        .map(|known| (distance(known, &name), known.len(), known))
        .min()
        .filter(|(distance, ..)| *distance <= 1 + name.len() / 3)
        .map(|(.., known)| format!("; did you mean {known:?}?"))
        .unwrap_or_default()
}

/// Edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (j, y) in b.iter().enumerate() {
            let above = row.get(j + 1).copied().unwrap_or_default();
            left = (above + 1).min(left + 1).min(diagonal + usize::from(x != *y));
            next.push(left);
            diagonal = above;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

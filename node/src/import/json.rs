//! From JSON to what an observation may hold: no floats, no null, bounded depth and size.

use std::collections::BTreeMap;

use counterfoil_protocol::codec::{Value, from_bytes, to_bytes};
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::limits::LABEL_BYTES_MAX;
use counterfoil_protocol::observation::{ArtifactDigest, DigestAlgorithm, Metric, Subject};
use serde_json::Value as Json;

/// Deepest nesting that is copied into a claim.
const DEPTH_MAX: usize = 12;
/// Largest single field that is copied into a claim, in bytes of CBOR.
const FIELD_BYTES_MAX: usize = 24 * 1024;
/// All fields of a claim together, in bytes of CBOR.
const CONTENT_BYTES_MAX: usize = 48 * 1024;
/// Most fractional digits, and largest exponent, of a number that becomes parts per million.
const DIGITS_MAX: usize = 40;

/// The text at a JSON pointer, when there is one that is not empty.
pub(super) fn text<'a>(value: &'a Json, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Json::as_str).filter(|text| !text.is_empty())
}

/// The elements of the array at a JSON pointer.
pub(super) fn list<'a>(value: &'a Json, pointer: &str) -> &'a [Json] {
    value.pointer(pointer).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// The same tree without null, and with fractions as the text they were written in.
fn convert(value: &Json, depth: usize) -> Option<Value> {
    if depth == 0 {
        return None;
    }
    match value {
        Json::Null => None,
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Number(number) => Some(match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Integer(value.into()),
            (None, Some(value)) => Value::Integer(value.into()),
            // A float has no deterministic form that all readers agree on.
            (None, None) => Value::Text(number.to_string()),
        }),
        Json::Array(values) => {
            let values: Option<Vec<_>> =
                values.iter().filter(|v| !v.is_null()).map(|v| convert(v, depth - 1)).collect();
            values.map(Value::Array)
        }
        Json::Object(fields) => {
            let fields: Option<Vec<_>> = fields
                .iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(key, v)| Some((Value::Text(key.clone()), convert(v, depth - 1)?)))
                .collect();
            fields.map(Value::Map)
        }
    }
}

/// A field of bounded size, or nothing when it is null, too large or too deep.
pub(super) fn field(value: &Json) -> Option<Value> {
    let bytes = to_bytes(&convert(value, DEPTH_MAX)?).ok()?;
    // Read back, so that maps have the order that they will have in the statement.
    from_bytes(&bytes, FIELD_BYTES_MAX).ok()
}

/// The fields of a claim. What is absent is left out; what does not fit is named under `omitted`.
#[derive(Default)]
pub(super) struct Content {
    fields: BTreeMap<String, Value>,
    omitted: Vec<Value>,
    size: usize,
}

impl Content {
    /// Puts a JSON value in.
    pub(super) fn put(&mut self, name: &str, value: Option<&Json>) {
        let Some(value) = value.filter(|value| !value.is_null()) else { return };
        let converted = field(value);
        let size = converted.as_ref().and_then(|v| to_bytes(v).ok()).map_or(0, |bytes| bytes.len());
        match converted {
            Some(converted) if self.size + size <= CONTENT_BYTES_MAX => {
                self.size += size;
                self.fields.insert(name.to_owned(), converted);
            }
            _ => self.omitted.push(Value::Text(name.to_owned())),
        }
    }

    /// Puts a text in.
    pub(super) fn put_text(&mut self, name: &str, text: Option<&str>) {
        self.put(name, text.map(Json::from).as_ref());
    }

    /// Puts each of these fields of `from` in under its own name.
    pub(super) fn put_all(&mut self, from: &Json, names: &[&str]) {
        for name in names {
            self.put(name, from.get(name));
        }
    }

    pub(super) fn into_fields(mut self) -> BTreeMap<String, Value> {
        if !self.omitted.is_empty() {
            self.fields.insert("omitted".to_owned(), Value::Array(self.omitted));
        }
        self.fields
    }
}

/// A time or a date, as RFC 3339 or ISO 8601 writes it; a date is its first second in UTC.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let seconds = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.as_second(),
        Err(_) if text.len() == 10 => {
            // Model cards also write 2020/02/02; other orders of day and month are ambiguous and left out.
            let date: jiff::civil::Date = text.replace('/', "-").parse().ok()?;
            date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second()
        }
        Err(_) => return None,
    };
    u64::try_from(seconds).ok().map(Timestamp)
}

/// The time at a JSON pointer.
pub(super) fn time_at(value: &Json, pointer: &str) -> Option<Timestamp> {
    text(value, pointer).and_then(time)
}

/// A decimal number in parts per million, rounded half away from zero, without passing through a float.
pub(super) fn ppm(text: &str) -> Option<i64> {
    let text = text.trim();
    let (text, percent) = text.strip_suffix('%').map_or((text, false), |t| (t.trim_end(), true));
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all: String = [whole, fraction].concat();
    if all.is_empty() || all.len() > DIGITS_MAX || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The value is `all * 10^shift`, in millionths.
    let shift = exponent.checked_add(if percent { 4 } else { 6 })? - i32::try_from(fraction.len()).ok()?;
    let mut value: i128 = all.parse::<i128>().ok()?;
    if shift >= 0 {
        if value != 0 {
            value = value.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?;
        }
    } else {
        match 10_i128.checked_pow(shift.unsigned_abs()) {
            Some(divisor) => value = value.checked_add(divisor / 2)? / divisor,
            None => value = 0,
        }
    }
    i64::try_from(if negative { -value } else { value }).ok()
}

/// A metric out of a JSON number or a text that holds one.
pub(super) fn metric(name: &str, value: &Json) -> Option<Metric> {
    let ppm = match value {
        Json::Number(number) => ppm(&number.to_string())?,
        Json::String(text) => ppm(text)?,
        _ => return None,
    };
    let name = name.trim();
    (!name.is_empty()).then(|| Metric { name: label(name), ppm })
}

/// A text cut to the length of a label.
pub(super) fn label(text: &str) -> String {
    let mut end = text.len().min(LABEL_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// The algorithm that a document calls `name`: `sha256` and `SHA-256` are the same.
pub(super) fn algorithm(name: &str) -> Option<DigestAlgorithm> {
    match name.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
        "sha256" => Some(DigestAlgorithm::Sha256),
        "sha384" => Some(DigestAlgorithm::Sha384),
        "sha512" => Some(DigestAlgorithm::Sha512),
        "blake3" => Some(DigestAlgorithm::Blake3),
        _ => None,
    }
}

/// A digest of a known algorithm out of its name and hexadecimal value.
pub(super) fn digest(name: &str, hex: &str) -> Option<ArtifactDigest> {
    let value = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?;
    ArtifactDigest::new(algorithm(name)?, value).ok()
}

/// The subjects that one name with its map of digests stands for.
///
/// Digests of known algorithms make artifacts. Only where there is none, other keys make names such as
/// `gitCommit:...`: a weak digest beside a strong one would only add a way to be confused.
///
/// # Errors
/// The entry that has the name of a known algorithm but not the form of its digests.
pub(super) fn digests(name: Option<&str>, map: Option<&Json>) -> Result<Vec<Subject>, String> {
    let (mut artifacts, mut named) = (Vec::new(), Vec::new());
    for (key, value) in map.and_then(Json::as_object).into_iter().flatten() {
        let Some(value) = value.as_str() else { continue };
        if algorithm(key).is_none() {
            named.push(Subject::Named(format!("{key}:{value}")));
        } else {
            let digest = digest(key, value).ok_or_else(|| format!("{key} of {value:?} is not a digest"))?;
            artifacts.push(Subject::Artifact { digest, label: name.map(label) });
        }
    }
    Ok(if artifacts.is_empty() { named } else { artifacts })
}

/// As [`digests`] for what something was made from, which may be known by its name alone.
pub(super) fn material(name: Option<&str>, map: Option<&Json>) -> Vec<Subject> {
    let found = digests(name, map).unwrap_or_default();
    match name {
        Some(name) if found.is_empty() => vec![Subject::Named(name.to_owned())],
        _ => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_parts_per_million_without_a_float() {
        for (text, expected) in [
            ("0.94", 940_000),
            ("1", 1_000_000),
            ("-0.5", -500_000),
            ("9.4e-1", 940_000),
            ("94%", 940_000),
            ("0.0000005", 1),
            ("0.00000049", 0),
            ("1e-30", 0),
            ("0e99", 0),
        ] {
            assert_eq!(ppm(text), Some(expected), "{text}");
        }
        for text in ["", ".", "NaN", "1e99", "1e-", "0x1", "12,5", &"9".repeat(60)] {
            assert_eq!(ppm(text), None, "{text}");
        }
    }

    #[test]
    fn times_and_dates_are_read_and_others_left_out() {
        assert_eq!(time("1970-01-02"), Some(Timestamp(86_400)));
        assert_eq!(time("2020/02/02"), time("2020-02-02T00:00:00Z"));
        assert_eq!(time("1970-01-01T01:00:00+01:00"), Some(Timestamp(0)));
        for text in ["08/28/2020", "1969-12-31", "yesterday", "2020-02-31"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn nothing_that_cbor_refuses_gets_into_a_claim() {
        let value = serde_json::json!({"a": [1, null, 0.5], "b": null, "c": {"d": u64::MAX}});
        let field_of_it = field(&value).unwrap();
        assert_eq!(from_bytes(&to_bytes(&field_of_it).unwrap(), 4096), Ok(field_of_it));
        let deep = (0..40).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        assert_eq!(field(&deep), None);
    }
}

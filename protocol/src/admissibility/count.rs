//! How many sets there are: a number of any size, written in decimal.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::limits::EVIDENCE_MAX;

/// A number of sets. There can be more than 64 bits hold, so it is decimal text, in which each number has one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct SetCount(String);

/// Most digits: sets of evidence are fewer than two to the power of [`EVIDENCE_MAX`], and a digit is more than three
/// bits.
const DIGITS_MAX: usize = EVIDENCE_MAX / 3 + 1;
/// The largest power of ten in a word, and its digits.
const CHUNK: u128 = 10_000_000_000_000_000_000;
const CHUNK_DIGITS: usize = 19;

impl SetCount {
    /// From a number in words of 64 bits, the least significant first.
    pub(super) fn from_words(words: &[u64]) -> Self {
        let mut words = words.to_vec();
        let mut chunks = Vec::new();
        loop {
            while words.last() == Some(&0) {
                words.pop();
            }
            let mut rest = 0u128;
            for word in words.iter_mut().rev() {
                let value = rest << 64 | u128::from(*word);
                *word = u64::try_from(value / CHUNK).unwrap_or(u64::MAX);
                rest = value % CHUNK;
            }
            chunks.push(rest);
            if words.iter().all(|word| *word == 0) {
                break;
            }
        }
        let mut text = chunks.pop().unwrap_or_default().to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:0CHUNK_DIGITS$}"));
        }
        Self(text)
    }

    /// The decimal text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number, where it fits.
    pub fn to_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }
}

impl From<u64> for SetCount {
    fn from(count: u64) -> Self {
        Self(count.to_string())
    }
}

impl fmt::Display for SetCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SetCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && text.len() <= DIGITS_MAX && (text == "0" || !text.starts_with('0')) {
            Ok(Self(text))
        } else {
            Err(de::Error::custom("a count is a decimal number without leading zeros"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, digit by digit: double and add.
    fn reference(words: &[u64]) -> String {
        let mut digits = vec![0u8];
        for bit in (0..words.len() * 64).rev() {
            let mut carry = (words[bit / 64] >> (bit % 64) & 1) as u8;
            for digit in &mut digits {
                let doubled = *digit * 2 + carry;
                (*digit, carry) = (doubled % 10, doubled / 10);
            }
            if carry > 0 {
                digits.push(carry);
            }
        }
        digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
    }

    proptest! {
        #[test]
        fn words_become_their_decimal_digits(words in proptest::collection::vec(
            prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)], 0..6)
        ) {
            let count = SetCount::from_words(&words);
            prop_assert_eq!(count.as_str(), reference(&words));
            let bytes = crate::codec::encode(&count).unwrap();
            prop_assert_eq!(crate::codec::decode::<SetCount>(&bytes, 1024).unwrap(), count);
        }
    }

    #[test]
    fn a_number_has_one_spelling() {
        for text in ["", "01", "00", "+1", "1 ", "1e3", "-1", &"9".repeat(DIGITS_MAX + 1)] {
            let bytes = crate::codec::encode(text).unwrap();
            assert!(crate::codec::decode::<SetCount>(&bytes, 1024).is_err(), "{text:?}");
        }
        assert_eq!(SetCount::from(u64::MAX).to_u64(), Some(u64::MAX));
        assert_eq!(SetCount::from_words(&[0, 1]).to_u64(), None);
    }
}

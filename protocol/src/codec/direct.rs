//! From strict CBOR to a typed value, without a tree of values between them.
//!
//! A type is given what the bytes say and nothing that merely resembles it: text is no byte string, an array is no
//! struct, and a sequence or map that its reader leaves half read is refused.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Unexpected, Visitor};

use super::reader::{negative, no_tag};
use super::{CodecError, Head, Reader};

/// Reads the whole document into a `T`.
pub(super) fn decode<T: DeserializeOwned>(reader: Reader<'_>) -> Result<T, CodecError> {
    let mut direct = Direct { reader, depth: 0 };
    let value = T::deserialize(&mut direct)?;
    direct.reader.finish()?;
    Ok(value)
}

impl de::Error for CodecError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Shape(message.to_string())
    }
}

struct Direct<'a> {
    reader: Reader<'a>,
    depth: usize,
}

impl<'a> Direct<'a> {
    fn head(&mut self) -> Result<Head<'a>, CodecError> {
        self.reader.head(self.depth)
    }

    fn wrong<'v, T>(&self, head: Head<'_>, visitor: &impl Visitor<'v>) -> Result<T, CodecError> {
        let unexpected = match head {
            Head::Unsigned(n) => Unexpected::Unsigned(n),
            Head::Negative(_) => Unexpected::Other("negative integer"),
            Head::Bytes(bytes) => Unexpected::Bytes(bytes),
            Head::Text(text) => Unexpected::Str(text),
            Head::Array(_) => Unexpected::Seq,
            Head::Map(_) => Unexpected::Map,
            Head::Bool(flag) => Unexpected::Bool(flag),
            Head::Tag(_) => return Err(no_tag(self.reader.position())),
        };
        Err(de::Error::invalid_type(unexpected, visitor))
    }

    fn integer<'v, V: Visitor<'v>>(&mut self, visitor: V) -> Result<V::Value, CodecError> {
        match self.head()? {
            Head::Unsigned(n) => visitor.visit_u64(n),
            Head::Negative(n) => {
                let wide = i128::from(negative(n, self.reader.position())?);
                match i64::try_from(wide) {
                    Ok(n) => visitor.visit_i64(n),
                    Err(_) => visitor.visit_i128(wide),
                }
            }
            other => self.wrong(other, &visitor),
        }
    }

    fn sequence<V: Visitor<'a>>(&mut self, length: usize, visitor: V) -> Result<V::Value, CodecError> {
        let mut items = Items { direct: self, left: length };
        items.direct.depth += 1;
        let value = visitor.visit_seq(&mut items)?;
        let left = items.left;
        self.depth -= 1;
        if left == 0 { Ok(value) } else { Err(CodecError::Shape(format!("{left} items too many"))) }
    }

    fn entries<V: Visitor<'a>>(&mut self, length: usize, visitor: V) -> Result<V::Value, CodecError> {
        let mut entries = Entries { direct: self, left: length, previous: None };
        entries.direct.depth += 1;
        let value = visitor.visit_map(&mut entries)?;
        let left = entries.left;
        self.depth -= 1;
        if left == 0 { Ok(value) } else { Err(CodecError::Shape(format!("{left} entries too many"))) }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            self.integer(visitor)
        })*
    };
}

macro_rules! never {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
            let head = self.head()?;
            self.wrong(head, &visitor)
        })*
    };
}

impl<'de> de::Deserializer<'de> for &mut Direct<'de> {
    type Error = CodecError;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    // Floats and nulls have no place in strict CBOR.
    never! { deserialize_f32 deserialize_f64 deserialize_char deserialize_unit }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let at = self.reader.position();
        match self.head()? {
            Head::Unsigned(n) => visitor.visit_u64(n),
            Head::Negative(n) => {
                let wide = i128::from(negative(n, at)?);
                match i64::try_from(wide) {
                    Ok(n) => visitor.visit_i64(n),
                    Err(_) => visitor.visit_i128(wide),
                }
            }
            Head::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Head::Text(text) => visitor.visit_borrowed_str(text),
            Head::Bool(flag) => visitor.visit_bool(flag),
            Head::Array(length) => self.sequence(length, visitor),
            Head::Map(length) => self.entries(length, visitor),
            Head::Tag(_) => Err(no_tag(at)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.head()? {
            Head::Bool(flag) => visitor.visit_bool(flag),
            other => self.wrong(other, &visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.head()? {
            Head::Text(text) => visitor.visit_borrowed_str(text),
            other => self.wrong(other, &visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.head()? {
            Head::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            other => self.wrong(other, &visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_some(self)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.head()? {
            Head::Array(length) => self.sequence(length, visitor),
            other => self.wrong(other, &visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, CodecError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        match self.head()? {
            Head::Map(length) => self.entries(length, visitor),
            other => self.wrong(other, &visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        self.deserialize_map(visitor)
    }

    /// A variant without fields is its name; any other is a map of one entry, under its name.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        match self.head()? {
            Head::Text(name) => visitor.visit_enum(BorrowedStrDeserializer::new(name)),
            Head::Map(1) => {
                self.depth += 1;
                let value = visitor.visit_enum(&mut *self)?;
                self.depth -= 1;
                Ok(value)
            }
            other => self.wrong(other, &visitor),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        // What nobody wants has to be strict all the same.
        self.reader.item(self.depth, None)?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

struct Items<'r, 'de> {
    direct: &'r mut Direct<'de>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = CodecError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, CodecError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.direct).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

struct Entries<'r, 'de> {
    direct: &'r mut Direct<'de>,
    left: usize,
    /// The encoding of the key before.
    previous: Option<&'de [u8]>,
}

impl<'de> de::MapAccess<'de> for &mut Entries<'_, 'de> {
    type Error = CodecError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, CodecError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let start = self.direct.reader.position();
        let key = seed.deserialize(&mut *self.direct)?;
        self.direct.reader.in_order(&mut self.previous, start)?;
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, CodecError> {
        seed.deserialize(&mut *self.direct)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::EnumAccess<'de> for &mut Direct<'de> {
    type Error = CodecError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), CodecError> {
        let name = seed.deserialize(&mut *self)?;
        Ok((name, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Direct<'de> {
    type Error = CodecError;

    fn unit_variant(self) -> Result<(), CodecError> {
        Err(CodecError::Shape("a variant without fields is its name alone".into()))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, CodecError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, CodecError> {
        de::Deserializer::deserialize_seq(self, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        de::Deserializer::deserialize_map(self, visitor)
    }
}

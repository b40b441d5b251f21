//! Values as `MessagePack`: what Terraform sends and expects.
//!
//! The type guides the reader, since the bytes alone do not distinguish a number beyond `f64` from text.
//! The format is that of Terraform's type system:
//! <https://github.com/zclconf/go-cty/blob/main/docs/marshal.md#msgpack-encoding>

use std::convert::Infallible;

use rmp::{
    Marker,
    decode::{RmpRead, read_marker},
    encode::{self, ByteBuf, ValueWriteError},
};

use plugin::{Kind, Number, Raw, Step};

use super::{
    Malformed, composed, empty_fields,
    kind::{self, DEEPEST, read_bytes},
};

/// Reads a value of a type. Nothing may follow it.
pub(crate) fn decode(bytes: &[u8], kind: &Kind) -> Result<Raw, Malformed> {
    let mut rest = bytes;
    let value = value(&mut rest, kind, 0)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(Malformed::new("bytes follow the value"))
    }
}

/// Writes a value.
pub(crate) fn encode(raw: &Raw) -> Vec<u8> {
    let mut bytes = ByteBuf::new();
    let Ok(()) = write(&mut bytes, raw);
    bytes.into_vec()
}

/// The smallest piece that has a meaning of its own.
enum Token<'a> {
    Null,
    Unknown,
    Bool(bool),
    Number(String),
    Text(&'a str),
    Bytes(&'a [u8]),
    Array(usize),
    Map(usize),
}

fn value(rest: &mut &[u8], kind: &Kind, depth: usize) -> Result<Raw, Malformed> {
    if depth > DEEPEST {
        return Err(Malformed::new("the value is nested too deeply"));
    }
    let depth = depth + 1;
    match (token(rest)?, kind) {
        (Token::Null, _) => Ok(Raw::Null),
        (Token::Unknown, _) => Ok(Raw::Unknown),
        (Token::Array(2), Kind::Dynamic) => dynamic(rest, depth),
        (Token::Bool(value), Kind::Bool) => Ok(Raw::Bool(value)),
        (Token::Text(text), Kind::Text) => Ok(Raw::Text(composed(text))),
        (Token::Number(text), Kind::Number) => number(&text),
        (Token::Text(text), Kind::Number) => number(text),
        (Token::Array(length), Kind::List(inner) | Kind::Set(inner)) => {
            items(length, |_| Ok(inner), |inner| value(rest, inner, depth))
        }
        (Token::Array(length), Kind::Tuple(inner)) if length == inner.len() => {
            let kind_at = |index| {
                inner
                    .get(index)
                    .ok_or_else(|| Malformed::new("the tuple is too long"))
            };
            items(length, kind_at, |inner| value(rest, inner, depth))
        }
        (Token::Map(length), Kind::Map(_) | Kind::Object(_)) => entries(rest, length, kind, depth),
        (token, kind) => Err(Malformed::new(format!(
            "{} is expected, not {}",
            kind.noun(),
            token.noun()
        ))),
    }
}

fn items<'k>(
    length: usize,
    kind_at: impl Fn(usize) -> Result<&'k Kind, Malformed>,
    mut next: impl FnMut(&Kind) -> Result<Raw, Malformed>,
) -> Result<Raw, Malformed> {
    // The length is not trusted for an allocation: it may promise more than the bytes hold.
    let mut items = vec![];
    for index in 0..length {
        let kind = kind_at(index)?;
        items.push(next(kind).map_err(|err| err.below(Step::Index(index)))?);
    }
    Ok(Raw::List(items))
}

fn entries(rest: &mut &[u8], length: usize, kind: &Kind, depth: usize) -> Result<Raw, Malformed> {
    let mut map = empty_fields(kind);
    for _ in 0..length {
        let Token::Text(key) = token(rest)? else {
            return Err(Malformed::new("a key is no string"));
        };
        let inner = kind
            .entry(key)
            .ok_or_else(|| Malformed::new(format!("there is no attribute {key:?}")))?;
        map.insert(
            composed(key),
            value(rest, inner, depth).map_err(|err| err.below(kind.step(key)))?,
        );
    }
    Ok(Raw::Map(map))
}

fn dynamic(rest: &mut &[u8], depth: usize) -> Result<Raw, Malformed> {
    let Token::Bytes(json) = token(rest)? else {
        return Err(Malformed::new("a dynamic value has no type"));
    };
    let kind = read_bytes(json)?;
    let value = value(rest, &kind, depth)?;
    Ok(match value {
        Raw::Dynamic { .. } | Raw::Null => value,
        value => Raw::Dynamic {
            kind,
            value: Box::new(value),
        },
    })
}

fn number(text: &str) -> Result<Raw, Malformed> {
    text.parse()
        .map(Raw::Number)
        .map_err(|err: plugin::InvalidNumber| Malformed::new(err.to_string()))
}

fn token<'a>(rest: &mut &'a [u8]) -> Result<Token<'a>, Malformed> {
    let marker = read_marker(rest).map_err(|_| truncated())?;
    Ok(match marker {
        Marker::Null => Token::Null,
        Marker::False => Token::Bool(false),
        Marker::True => Token::Bool(true),
        Marker::FixStr(length) => text(rest, length.into())?,
        Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            let length = length(rest, marker)?;
            text(rest, length)?
        }
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
            let length = length(rest, marker)?;
            Token::Bytes(take(rest, length)?)
        }
        Marker::FixArray(length) => Token::Array(length.into()),
        Marker::Array16 | Marker::Array32 => Token::Array(length(rest, marker)?),
        Marker::FixMap(length) => Token::Map(length.into()),
        Marker::Map16 | Marker::Map32 => Token::Map(length(rest, marker)?),
        // Every extension is an unknown value; its body refines what will be known, which nobody needs.
        Marker::FixExt1 => extension(rest, 1)?,
        Marker::FixExt2 => extension(rest, 2)?,
        Marker::FixExt4 => extension(rest, 4)?,
        Marker::FixExt8 => extension(rest, 8)?,
        Marker::FixExt16 => extension(rest, 16)?,
        Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => {
            let length = length(rest, marker)?;
            extension(rest, length)?
        }
        Marker::Reserved => return Err(Malformed::new("byte c1 has no meaning")),
        marker => Token::Number(digits(rest, marker)?),
    })
}

fn digits(rest: &mut &[u8], marker: Marker) -> Result<String, Malformed> {
    let text = match marker {
        Marker::FixPos(number) => Ok(number.to_string()),
        Marker::FixNeg(number) => Ok(number.to_string()),
        Marker::U8 => rest.read_data_u8().map(|number| number.to_string()),
        Marker::U16 => rest.read_data_u16().map(|number| number.to_string()),
        Marker::U32 => rest.read_data_u32().map(|number| number.to_string()),
        Marker::U64 => rest.read_data_u64().map(|number| number.to_string()),
        Marker::I8 => rest.read_data_i8().map(|number| number.to_string()),
        Marker::I16 => rest.read_data_i16().map(|number| number.to_string()),
        Marker::I32 => rest.read_data_i32().map(|number| number.to_string()),
        Marker::I64 => rest.read_data_i64().map(|number| number.to_string()),
        Marker::F32 => rest
            .read_data_f32()
            .map(|number| f64::from(number).to_string()),
        Marker::F64 => rest.read_data_f64().map(|number| number.to_string()),
        _ => return Err(Malformed::new("a number is expected")),
    };
    text.map_err(|_| truncated())
}

/// Reads the length that follows a marker.
fn length(rest: &mut &[u8], marker: Marker) -> Result<usize, Malformed> {
    let length = match marker {
        Marker::Str8 | Marker::Bin8 | Marker::Ext8 => rest.read_data_u8().map(u32::from),
        Marker::Str16 | Marker::Bin16 | Marker::Ext16 | Marker::Array16 | Marker::Map16 => {
            rest.read_data_u16().map(u32::from)
        }
        _ => rest.read_data_u32(),
    };
    length
        .ok()
        .and_then(|length| length.try_into().ok())
        .ok_or_else(truncated)
}

fn text<'a>(rest: &mut &'a [u8], length: usize) -> Result<Token<'a>, Malformed> {
    let bytes = take(rest, length)?;
    std::str::from_utf8(bytes)
        .map(Token::Text)
        .map_err(|_| Malformed::new("a string is not UTF-8"))
}

fn extension<'a>(rest: &mut &'a [u8], length: usize) -> Result<Token<'a>, Malformed> {
    take(rest, 1)?;
    take(rest, length)?;
    Ok(Token::Unknown)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, after) = rest.split_at_checked(length).ok_or_else(truncated)?;
    *rest = after;
    Ok(taken)
}

fn truncated() -> Malformed {
    Malformed::new("the value ends too early")
}

impl Token<'_> {
    fn noun(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Unknown => "an unknown value",
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Array(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

fn write(to: &mut ByteBuf, raw: &Raw) -> Result<(), ValueWriteError<Infallible>> {
    match raw {
        Raw::Null => encode::write_nil(to).map_err(ValueWriteError::InvalidMarkerWrite)?,
        // The one unknown that promises nothing about what will be known.
        Raw::Unknown => to.as_mut_vec().extend([0xd4, 0, 0]),
        Raw::Bool(value) => {
            encode::write_bool(to, *value).map_err(ValueWriteError::InvalidMarkerWrite)?;
        }
        Raw::Number(number) => write_number(to, number)?,
        Raw::Text(text) => encode::write_str(to, &composed(text))?,
        Raw::List(items) => {
            encode::write_array_len(to, count(items.len()))?;
            items.iter().try_for_each(|item| write(to, item))?;
        }
        Raw::Map(items) => {
            encode::write_map_len(to, count(items.len()))?;
            for (key, item) in items {
                encode::write_str(to, &composed(key))?;
                write(to, item)?;
            }
        }
        Raw::Dynamic { kind, value } => {
            encode::write_array_len(to, 2)?;
            encode::write_bin(to, kind::write(kind).to_string().as_bytes())?;
            write(to, value)?;
        }
    }
    Ok(())
}

/// Writes what fits as an integer and all else as its decimal text, which loses nothing.
fn write_number(to: &mut ByteBuf, number: &Number) -> Result<(), ValueWriteError<Infallible>> {
    match number.to_i128().and_then(|whole| i64::try_from(whole).ok()) {
        Some(whole) => encode::write_sint(to, whole).map(drop),
        None => encode::write_str(to, number.as_str()),
    }
}

/// Terraform limits a message to 2 GiB, long before a count can exceed 32 bits.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

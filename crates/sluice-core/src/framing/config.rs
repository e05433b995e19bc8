//! Framing as the configuration has it: a name, `{ eof, split?, keep? }` or `{ length, offset?, bodyOffset?, strip? }`.

use serde::Deserialize;
use thiserror::Error;

use super::{Eof, Framing, Length, Number};

/// The longest end mark, in bytes.
pub const MARK_BYTES_MAX: usize = 8;
/// The furthest that a length or a body may be from the beginning of its message.
const OFFSET_MAX: u16 = 4096;

/// A framing that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FramingError {
    /// Neither a name nor one of the two forms.
    #[error(
        "framing must be raw, lines, mqtt, varint, netstring, an object with eof or one with length"
    )]
    Form,
    /// An end mark without bytes, or with too many.
    #[error("framing.eof must have 1 to 8 bytes")]
    Mark,
    /// An offset that is too far.
    #[error("framing.offset and framing.bodyOffset must be 0 to 4096")]
    Offset,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Name(Name),
    Fields(Fields),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Raw,
    Lines,
    Mqtt,
    Varint,
    Netstring,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    /// Its bytes.
    eof: Option<Vec<u8>>,
    split: Option<bool>,
    keep: Option<bool>,
    length: Option<NumberName>,
    offset: Option<u16>,
    body_offset: Option<u16>,
    strip: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NumberName {
    U8,
    U16be,
    U16le,
    U32be,
    U32le,
    U64be,
    U64le,
    I16be,
    I32be,
}

impl From<NumberName> for Number {
    fn from(name: NumberName) -> Self {
        match name {
            NumberName::U8 => Self::U8,
            NumberName::U16be => Self::U16Be,
            NumberName::U16le => Self::U16Le,
            NumberName::U32be => Self::U32Be,
            NumberName::U32le => Self::U32Le,
            NumberName::U64be => Self::U64Be,
            NumberName::U64le => Self::U64Le,
            NumberName::I16be => Self::I16Be,
            NumberName::I32be => Self::I32Be,
        }
    }
}

impl TryFrom<Form> for Framing {
    type Error = FramingError;

    fn try_from(form: Form) -> Result<Self, FramingError> {
        let fields = match form {
            Form::Name(Name::Raw) => return Ok(Self::Raw),
            Form::Name(Name::Lines) => return Ok(Self::Lines),
            Form::Name(Name::Mqtt) => return Ok(Self::Mqtt),
            Form::Name(Name::Varint) => return Ok(Self::Varint),
            Form::Name(Name::Netstring) => return Ok(Self::Netstring),
            Form::Fields(fields) => fields,
        };
        match fields {
            Fields {
                eof: Some(mark),
                split,
                keep,
                length: None,
                offset: None,
                body_offset: None,
                strip: None,
            } => Eof::new(&mark, split.unwrap_or(true), keep.unwrap_or(true))
                .map(Self::Eof)
                .ok_or(FramingError::Mark),
            Fields {
                eof: None,
                split: None,
                keep: None,
                length: Some(number),
                offset,
                body_offset,
                strip,
            } => {
                let number = Number::from(number);
                let offset = offset.unwrap_or(0);
                if offset > OFFSET_MAX || body_offset.is_some_and(|offset| offset > OFFSET_MAX) {
                    return Err(FramingError::Offset);
                }
                Ok(Self::Length(Length {
                    number,
                    offset,
                    body_offset: body_offset.unwrap_or(offset + number.bytes() as u16),
                    strip: strip.unwrap_or(false),
                }))
            }
            _ => Err(FramingError::Form),
        }
    }
}

impl<'de> Deserialize<'de> for Framing {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Form::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom(FramingError::Form))?;
        Self::try_from(form).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Framing, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_has_its_defaults() {
        assert_eq!(parse("\"raw\""), Ok(Framing::Raw));
        assert_eq!(parse("\"netstring\""), Ok(Framing::Netstring));
        let eof = Eof::new(b"\r\n", true, true).expect("it is short enough");
        assert_eq!(parse(r#"{"eof":[13,10]}"#), Ok(Framing::Eof(eof)));
        let length = |body_offset, strip| {
            Ok(Framing::Length(Length {
                number: Number::U32Be,
                offset: 2,
                body_offset,
                strip,
            }))
        };
        assert_eq!(parse(r#"{"length":"u32be","offset":2}"#), length(6, false));
        assert_eq!(
            parse(r#"{"length":"u32be","offset":2,"bodyOffset":0,"strip":true}"#),
            length(0, true)
        );
    }

    #[test]
    fn what_is_no_framing_is_refused() {
        for (json, expected) in [
            ("\"line\"", "framing must be"),
            ("{}", "framing must be"),
            (r#"{"eof":[1],"length":"u8"}"#, "framing must be"),
            (r#"{"eof":[1],"stripped":true}"#, "framing must be"),
            (r#"{"length":"u24be"}"#, "framing must be"),
            (r#"{"eof":[]}"#, "framing.eof must have"),
            (r#"{"eof":[1,2,3,4,5,6,7,8,9]}"#, "framing.eof must have"),
            (r#"{"length":"u8","offset":4097}"#, "framing.offset"),
            (r#"{"length":"u8","bodyOffset":4097}"#, "framing.offset"),
        ] {
            let error = parse(json).expect_err(json);
            assert!(error.starts_with(expected), "{json}: {error}");
        }
    }
}

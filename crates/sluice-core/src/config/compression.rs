//! How answers are compressed.

use serde::Deserialize;

use super::ConfigError;
use super::check::{number, wrong};

/// More types than anybody has; each is compared with the type of every answer.
const TYPES_MAX: usize = 256;

/// Which answers are compressed for clients that take them so.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CompressionConfig {
    /// Bodies of fewer bytes are sent as they are, 0 to 1 GiB. Default 1 KiB. A stream of unknown length is not bound by it.
    pub min_bytes: u32,
    /// 1, the fastest, to 9; `None` (default): what suits each coding. For brotli, more than 4 counts as 4.
    pub level: Option<u32>,
    /// Media types, at most 256: `type/subtype`, `type/*` or `*+suffix`, in lower case. `text/event-stream` is compressed only
    /// where it is listed by its full name.
    pub types: Vec<String>,
}

impl Default for CompressionConfig {
    fn default() -> Self {
        Self {
            min_bytes: 1024,
            level: None,
            types: [
                "text/*",
                "*+json",
                "*+xml",
                "application/json",
                "application/javascript",
                "application/xml",
                "application/wasm",
            ]
            .map(str::to_owned)
            .into(),
        }
    }
}

impl CompressionConfig {
    /// Whether a media type, without parameters and in any case, is on the list.
    pub fn has_type(&self, value: &[u8]) -> bool {
        let is_stream = value.eq_ignore_ascii_case(b"text/event-stream");
        self.types.iter().any(|listed| {
            let listed = listed.as_bytes();
            if value.eq_ignore_ascii_case(listed) {
                true
            } else if let Some(start) = listed.strip_suffix(b"*") {
                !is_stream && starts_with(value, start)
            } else if let Some(end) = listed.strip_prefix(b"*") {
                ends_with(value, end)
            } else {
                false
            }
        })
    }

    pub(super) fn check(&self, path: &str) -> Result<(), ConfigError> {
        number(
            &format!("{path}.minBytes"),
            self.min_bytes.into(),
            0..=1 << 30,
        )?;
        if let Some(level) = self.level {
            number(&format!("{path}.level"), level.into(), 1..=9)?;
        }
        let path = format!("{path}.types");
        if self.types.len() > TYPES_MAX {
            let expected = format!("a list of at most {TYPES_MAX}");
            return Err(wrong(&path, &expected, &self.types.len()));
        }
        for (index, listed) in self.types.iter().enumerate() {
            if !is_pattern(listed) {
                let expected = "a media type, \"type/*\" or \"*+suffix\", in lower case";
                return Err(wrong(&format!("{path}[{index}]"), expected, listed));
            }
        }
        Ok(())
    }
}

fn starts_with(value: &[u8], start: &[u8]) -> bool {
    value.len() > start.len() && value[..start.len()].eq_ignore_ascii_case(start)
}

fn ends_with(value: &[u8], end: &[u8]) -> bool {
    value.len() > end.len() && value[value.len() - end.len()..].eq_ignore_ascii_case(end)
}

fn is_pattern(listed: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| {
                matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+')
            })
    };
    if listed.len() > 128 {
        return false;
    }
    if let Some(suffix) = listed.strip_prefix("*+") {
        return is_name(suffix);
    }
    match listed.split_once('/') {
        Some((kind, "*")) => is_name(kind),
        Some((kind, subtype)) => is_name(kind) && is_name(subtype),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(types: &[&str]) -> CompressionConfig {
        CompressionConfig {
            types: types.iter().map(|&name| name.to_owned()).collect(),
            ..CompressionConfig::default()
        }
    }

    #[test]
    fn patterns_stand_for_types() {
        let config = with(&["text/*", "*+json", "font/ttf"]);
        for (value, expected) in [
            ("text/plain", true),
            ("TEXT/Plain", true),
            ("text/", false),
            ("text/event-stream", false),
            ("application/ld+json", true),
            ("+json", false),
            ("application/json", false),
            ("font/ttf", true),
            ("font/ttf2", false),
        ] {
            assert_eq!(config.has_type(value.as_bytes()), expected, "{value}");
        }
        assert!(with(&["text/event-stream"]).has_type(b"text/event-stream"));
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for good in ["text/*", "*+json", "application/x-b.c+d"] {
            assert!(with(&[good]).check("compression").is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "*/*",
            "text",
            "Text/plain",
            "text/plain; charset=utf-8",
            "/a",
            "a/",
        ] {
            let error = with(&[bad]).check("compression").expect_err(bad);
            assert!(
                error
                    .to_string()
                    .starts_with("compression.types[0] must be")
            );
        }
    }

    #[test]
    fn levels_and_lengths_have_their_ranges() {
        let level = |level| CompressionConfig {
            level: Some(level),
            ..CompressionConfig::default()
        };
        assert!(level(1).check("c").is_ok() && level(9).check("c").is_ok());
        assert!(level(0).check("c").is_err() && level(10).check("c").is_err());
        let shortest = |min_bytes| CompressionConfig {
            min_bytes,
            ..CompressionConfig::default()
        };
        assert!(
            shortest(1 << 30).check("c").is_ok() && shortest((1 << 30) + 1).check("c").is_err()
        );
    }
}

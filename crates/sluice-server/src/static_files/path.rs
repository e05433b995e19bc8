//! From a request target to the path that a file may have.

use percent_encoding::percent_decode;

/// A path that stays where it starts: no `.` or `..`, no empty segment but the last, no NUL, no backslash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePath {
    /// Decoded, beginning with `/`. Decoded once: what is encoded twice is a strange name and no more.
    pub(super) bytes: Vec<u8>,
}

/// Why a target can name no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathFault {
    /// A percent sign without two hexadecimal digits, or something encoded that has no place in a name.
    Malformed,
    /// It would lead out of where it starts, or be read as something else by somebody else.
    Unsafe,
    /// No file has such a path.
    None,
}

impl FilePath {
    /// The path of a target in origin or absolute form. The query does not belong to it.
    pub(super) fn of_target(target: &[u8]) -> Result<Self, PathFault> {
        let raw = raw_path(target);
        if raw.first() != Some(&b'/') {
            return Err(PathFault::None);
        }
        if !raw.contains(&b'%') {
            return Self::of_decoded(raw.to_vec());
        }
        let is_encoded_well = raw.iter().enumerate().all(|(at, &byte)| {
            byte != b'%'
                || raw
                    .get(at + 1..at + 3)
                    .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
        });
        if !is_encoded_well {
            return Err(PathFault::Malformed);
        }
        let bytes: Vec<u8> = percent_decode(raw).collect();
        // An encoded slash belongs to a name, where no file system can have one.
        let slashes = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'/').count();
        if slashes(&bytes) != slashes(raw) {
            return Err(PathFault::Unsafe);
        }
        Self::of_decoded(bytes)
    }

    /// The same for a path that is decoded already.
    pub(super) fn of_decoded(bytes: Vec<u8>) -> Result<Self, PathFault> {
        if bytes.first() != Some(&b'/') {
            return Err(PathFault::None);
        }
        if bytes.iter().any(|byte| matches!(byte, 0 | b'\\')) {
            return Err(PathFault::Unsafe);
        }
        let mut segments = bytes[1..].split(|&byte| byte == b'/').peekable();
        while let Some(segment) = segments.next() {
            match segment {
                b"." | b".." => return Err(PathFault::Unsafe),
                // `//host/` in a Location would be another server.
                b"" if segments.peek().is_some() => return Err(PathFault::None),
                _ => {}
            }
        }
        Ok(Self { bytes })
    }

    /// What follows `prefix`, without the slash between them; `None` when the path is not below it.
    pub(super) fn below(&self, prefix: &[u8]) -> Option<&[u8]> {
        let rest = self.bytes.strip_prefix(prefix)?;
        match rest {
            [] => Some(rest),
            [b'/', rest @ ..] => Some(rest),
            _ => None,
        }
    }

    pub(super) fn ends_with_slash(&self) -> bool {
        self.bytes.ends_with(b"/")
    }
}

/// Whether a segment of what is below a prefix begins with a dot. `.well-known/` is meant to be seen (RFC 8615).
pub(super) fn has_dotfile(name: &[u8]) -> bool {
    name.strip_prefix(b".well-known/")
        .unwrap_or(name)
        .split(|&byte| byte == b'/')
        .any(|segment| segment.first() == Some(&b'.'))
}

/// The path as it was sent, without scheme, authority and query.
pub(super) fn raw_path(target: &[u8]) -> &[u8] {
    let path = match target.first() {
        Some(b'/') => target,
        _ => memchr::memmem::find(target, b"://").map_or(target, |at| {
            let rest = &target[at + 3..];
            rest.iter()
                .position(|&byte| byte == b'/' || byte == b'?')
                .map_or(&[], |at| &rest[at..])
        }),
    };
    let end = memchr::memchr(b'?', path).unwrap_or(path.len());
    &path[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(target: &str) -> Result<String, PathFault> {
        FilePath::of_target(target.as_bytes())
            .map(|path| String::from_utf8_lossy(&path.bytes).into_owned())
    }

    #[test]
    fn paths_are_decoded_once_and_without_the_query() {
        for (target, expected) in [
            ("/", "/"),
            ("/a/b.txt?x=/../", "/a/b.txt"),
            ("/a%20b", "/a b"),
            ("/%E4%BD%A0", "/你"),
            ("/a/", "/a/"),
            ("/%252e%252e/x", "/%2e%2e/x"),
            ("/..a/b..", "/..a/b.."),
            ("/...", "/..."),
            ("http://host/a?b", "/a"),
            ("http://host:80/", "/"),
        ] {
            assert_eq!(path(target).as_deref(), Ok(expected), "{target}");
        }
    }

    #[test]
    fn ways_out_are_refused() {
        for target in [
            "/..",
            "/../",
            "/../etc/passwd",
            "/a/../../b",
            "/a/..",
            "/./a",
            "/a/.",
            "/%2e%2e/a",
            "/.%2E/a",
            "/%2e./a",
            "/..%2fa",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/..%5c..%5ca",
            "/a\\b",
            "/..\\a",
            "/a%00",
            "/a%00.txt",
            "/%00",
        ] {
            assert_eq!(path(target), Err(PathFault::Unsafe), "{target}");
        }
    }

    #[test]
    fn bad_encoding_is_refused() {
        for target in [
            "/%", "/%4", "/%zz", "/%%41", "/%4g", "/a%", "/%u0041", "/%C3%",
        ] {
            assert_eq!(path(target), Err(PathFault::Malformed), "{target}");
        }
    }

    #[test]
    fn empty_segments_name_no_file() {
        for target in [
            "//",
            "//a",
            "/a//b",
            "//evil.example/x",
            "*",
            "http://host",
            "http://host?x",
        ] {
            assert_eq!(path(target), Err(PathFault::None), "{target}");
        }
    }

    #[test]
    fn a_prefix_ends_with_its_segment() {
        let below = |path: &str, prefix: &str| {
            FilePath::of_decoded(path.into())
                .expect("a good path")
                .below(prefix.as_bytes())
                .map(|rest| String::from_utf8_lossy(rest).into_owned())
        };
        assert_eq!(below("/a/b", "").as_deref(), Some("a/b"));
        assert_eq!(below("/", "").as_deref(), Some(""));
        assert_eq!(below("/assets/x", "/assets").as_deref(), Some("x"));
        assert_eq!(below("/assets", "/assets").as_deref(), Some(""));
        assert_eq!(below("/assets/", "/assets").as_deref(), Some(""));
        assert_eq!(below("/assetsx", "/assets"), None);
        assert_eq!(below("/b", "/assets"), None);
    }

    #[test]
    fn dotfiles_are_seen_anywhere() {
        let has = |name: &str| has_dotfile(name.as_bytes());
        assert!(has(".env") && has("a/.git/config") && has("...") && has(".well-known"));
        assert!(has(".well-known/.secret") && has("a/.well-known/x"));
        assert!(!has("a.b/c.") && !has("") && !has(".well-known/acme-challenge/x"));
    }

    proptest! {
        #[test]
        fn no_path_leaves_its_start(target in "/[a./%25efEF\\\\?-]{0,30}") {
            if let Ok(path) = FilePath::of_target(target.as_bytes()) {
                prop_assert!(path.bytes.starts_with(b"/") && !path.bytes.starts_with(b"//"));
                prop_assert!(!path.bytes.contains(&0) && !path.bytes.contains(&b'\\'));
                for segment in path.bytes.split(|&byte| byte == b'/') {
                    prop_assert!(segment != b"." && segment != b"..");
                }
            }
        }

        #[test]
        fn any_bytes_are_taken(target in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = FilePath::of_target(&target);
        }
    }
}

//! What kind of content a file has, by its name.

/// The media type of a file called `name`, `application/octet-stream` if nobody knows better. Text has a charset.
pub(super) fn write(name: &[u8], out: &mut Vec<u8>) {
    let guess = extension(name).and_then(|extension| mime_guess::from_ext(extension).first_raw());
    let essence = match guess {
        // RFC 9239 section 6.
        Some("application/javascript") => "text/javascript",
        Some(essence) => essence,
        None => "application/octet-stream",
    };
    out.extend_from_slice(essence.as_bytes());
    if essence.starts_with("text/") {
        out.extend_from_slice(b";charset=UTF-8");
    }
}

fn extension(name: &[u8]) -> Option<&str> {
    let base = name.rsplit(|&byte| byte == b'/').next()?;
    let dot = memchr::memrchr(b'.', base)?;
    std::str::from_utf8(&base[dot + 1..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_have_their_types() {
        for (name, expected) in [
            ("a/index.html", "text/html;charset=UTF-8"),
            ("x.CSS", "text/css;charset=UTF-8"),
            ("x.js", "text/javascript;charset=UTF-8"),
            ("x.mjs", "text/javascript;charset=UTF-8"),
            ("x.json", "application/json"),
            ("x.txt", "text/plain;charset=UTF-8"),
            ("x.svg", "image/svg+xml"),
            ("x.png", "image/png"),
            ("x.webp", "image/webp"),
            ("x.avif", "image/avif"),
            ("x.woff2", "font/woff2"),
            ("x.wasm", "application/wasm"),
            ("x.pdf", "application/pdf"),
            ("x.mp4", "video/mp4"),
            ("archive.tar.gz", "application/gzip"),
            ("noextension", "application/octet-stream"),
            ("a.b/noextension", "application/octet-stream"),
            ("x.unheard-of", "application/octet-stream"),
            ("x.", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            let mut out = Vec::new();
            write(name.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{name}");
        }
        let mut out = Vec::new();
        write(b"x.\xff\xfe", &mut out);
        assert_eq!(out, b"application/octet-stream");
    }
}

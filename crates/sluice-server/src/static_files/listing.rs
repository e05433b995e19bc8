//! The page of a directory without an index.

use std::io;
use std::os::fd::OwnedFd;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::fs::{Dir, FileType};

/// Entries of a page; what is beyond is not listed, and the page says so.
const ENTRIES_MAX: usize = 1_000;
/// Entries of a directory that are looked at.
const SCANNED_MAX: usize = 10_000;

/// What needs no escape in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The page of `dir` as HTML. `path` is what the client asked for, decoded.
pub(super) fn page(dir: &OwnedFd, path: &[u8], with_dotfiles: bool) -> io::Result<Vec<u8>> {
    let mut entries = Vec::new();
    let mut is_cut = false;
    for (scanned, entry) in Dir::read_from(dir)?.enumerate() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." || (name.starts_with(b".") && !with_dotfiles) {
            continue;
        }
        if entries.len() == ENTRIES_MAX || scanned >= SCANNED_MAX {
            is_cut = true;
            break;
        }
        match entry.file_type() {
            FileType::Directory => entries.push((false, name.to_vec())),
            // A link may lead anywhere; asking tells.
            FileType::RegularFile | FileType::Symlink | FileType::Unknown => {
                entries.push((true, name.to_vec()));
            }
            _ => {}
        }
    }
    // Directories first.
    entries.sort_unstable();
    Ok(html(path, &entries, is_cut))
}

fn html(path: &[u8], entries: &[(bool, Vec<u8>)], is_cut: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + entries.len() * 80);
    out.extend_from_slice(b"<!doctype html>\n<meta charset=\"utf-8\">\n<title>");
    escape(path, &mut out);
    out.extend_from_slice(b"</title>\n<h1>");
    escape(path, &mut out);
    out.extend_from_slice(b"</h1>\n<ul>\n");
    if path != b"/" {
        out.extend_from_slice(b"<li><a href=\"../\">../</a>\n");
    }
    for (is_file, name) in entries {
        let slash: &[u8] = if *is_file { b"" } else { b"/" };
        // `./` so that a name with a colon is no scheme.
        out.extend_from_slice(b"<li><a href=\"./");
        for piece in percent_encode(name, SEGMENT) {
            out.extend_from_slice(piece.as_bytes());
        }
        out.extend_from_slice(slash);
        out.extend_from_slice(b"\">");
        escape(name, &mut out);
        out.extend_from_slice(slash);
        out.extend_from_slice(b"</a>\n");
    }
    out.extend_from_slice(b"</ul>\n");
    if is_cut {
        out.extend_from_slice("<p>… and more\n".as_bytes());
    }
    out
}

/// Text for HTML, also in a quoted attribute. Bytes that are no UTF-8 become U+FFFD.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in String::from_utf8_lossy(text).bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    fn listed(folder: &tempfile::TempDir, path: &[u8], with_dotfiles: bool) -> String {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let dir = openat(CWD, folder.path(), flags, Mode::empty()).expect("it is there");
        let page = page(&dir, path, with_dotfiles).expect("it can be read");
        String::from_utf8(page).expect("a page is UTF-8")
    }

    #[test]
    fn names_are_escaped_and_sorted_and_dotfiles_hidden() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        for name in ["b <&>\"'", "a:b", ".env"] {
            fs::write(folder.path().join(name), "").expect("a file can be written");
        }
        fs::write(folder.path().join(OsStr::from_bytes(b"z\xff")), "")
            .expect("a file can be written");
        fs::create_dir(folder.path().join("sub")).expect("a folder can be made");
        let page = listed(&folder, b"/<x>/", false);
        let lines: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("<li>"))
            .collect();
        assert_eq!(
            lines,
            [
                "<li><a href=\"../\">../</a>",
                "<li><a href=\"./sub/\">sub/</a>",
                "<li><a href=\"./a%3Ab\">a:b</a>",
                "<li><a href=\"./b%20%3C%26%3E%22%27\">b &lt;&amp;&gt;&quot;&#39;</a>",
                "<li><a href=\"./z%FF\">z\u{fffd}</a>",
            ]
        );
        assert!(page.contains("<h1>/&lt;x&gt;/</h1>"));
        assert!(listed(&folder, b"/", true).contains(".env"));
        assert!(!listed(&folder, b"/", true).contains("../"));
    }

    #[test]
    fn a_page_is_bounded() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        for at in 0..=ENTRIES_MAX {
            fs::write(folder.path().join(format!("f{at}")), "").expect("a file can be written");
        }
        let page = listed(&folder, b"/", false);
        assert_eq!(page.matches("<li>").count(), ENTRIES_MAX);
        assert!(page.contains("and more"));
    }
}

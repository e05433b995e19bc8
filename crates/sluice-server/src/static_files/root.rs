//! A document root, out of which nothing can be opened.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::open_file::{OPEN, OpenFile};

/// How long the directory that the path of a root leads to is taken for the same: a deploy that switches a symbolic
/// link is seen after so long.
const LOOK_UP_MS: u64 = 1_000;
/// Tries, when the kernel says that what it walks over changes at the moment.
const TRIES: usize = 8;

/// The directory that files are served from.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    dir: Option<OwnedFd>,
    looked_up: u64,
    /// The kernel has no openat2, or a sandbox forbids it.
    walks: bool,
}

/// What has a name.
#[derive(Debug)]
pub(super) enum Node {
    File(OpenFile),
    Directory(OwnedFd),
}

/// Why nothing was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenFault {
    /// Nothing of that name is in the root, or it is neither file nor directory.
    Missing,
    /// The system forbids it.
    Forbidden,
    /// The system cannot at the moment.
    Unavailable,
}

impl Root {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            dir: None,
            looked_up: 0,
            walks: cfg!(not(target_os = "linux")),
        }
    }

    /// Opens what has this name, relative to the root; empty for the root itself.
    ///
    /// Symbolic links are followed as long as they stay inside: the kernel sees to that while it walks, so no exchange of
    /// a directory for a link can lead out in between. Without openat2 no link is followed at all.
    pub(super) fn open(&mut self, name: &[u8], now: u64) -> Result<Node, OpenFault> {
        self.look_up(now)?;
        let Some(dir) = &self.dir else {
            return Err(OpenFault::Missing);
        };
        let name = if name.is_empty() { b"." } else { name };
        let fd = if self.walks {
            walk(dir.as_fd(), name)?
        } else {
            match beneath(dir.as_fd(), name) {
                Ok(fd) => fd,
                Err(Errno::NOSYS | Errno::PERM) => {
                    self.walks = true;
                    walk(dir.as_fd(), name)?
                }
                // An absolute link. Where it leads may still be inside.
                Err(Errno::XDEV) => self.open_real(dir.as_fd(), name)?,
                Err(error) => return Err(error.into()),
            }
        };
        let stat = rustix::fs::fstat(&fd)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(Node::File(OpenFile::of(fd, &stat))),
            FileType::Directory => Ok(Node::Directory(fd)),
            _ => Err(OpenFault::Missing),
        }
    }

    fn look_up(&mut self, now: u64) -> Result<(), OpenFault> {
        if self.dir.is_some() && now.saturating_sub(self.looked_up) < LOOK_UP_MS {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(&self.path, flags, Mode::empty()).map_err(OpenFault::from) {
            Ok(dir) => self.dir = Some(dir),
            // The one that is open is as good as it was.
            Err(OpenFault::Unavailable) if self.dir.is_some() => {}
            Err(fault) => {
                self.dir = None;
                return Err(fault);
            }
        }
        self.looked_up = now;
        Ok(())
    }

    /// Asks for the real name, and opens that, if it is in the root, without following anything any more.
    fn open_real(&self, dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, OpenFault> {
        let root = self.path.canonicalize()?;
        let real = root.join(OsStr::from_bytes(name)).canonicalize()?;
        let inside = real.strip_prefix(&root).map_err(|_| OpenFault::Missing)?;
        walk(dir, inside.as_os_str().as_bytes())
    }
}

#[cfg(target_os = "linux")]
fn beneath(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 1;
    loop {
        match rustix::fs::openat2(dir, name, OPEN, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn beneath(_: BorrowedFd<'_>, _: &[u8]) -> Result<OwnedFd, Errno> {
    let _ = TRIES;
    Err(Errno::NOSYS)
}

/// Opens one component after the other and follows no link.
fn walk(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, OpenFault> {
    let mut held: Option<OwnedFd> = None;
    let mut components = name
        .split(|&byte| byte == b'/')
        .filter(|component| !component.is_empty())
        .peekable();
    if components.peek().is_none() {
        return Ok(rustix::fs::openat(dir, ".", OPEN, Mode::empty())?);
    }
    while let Some(component) = components.next() {
        let at = held.as_ref().map_or(dir, AsFd::as_fd);
        let flags = if components.peek().is_some() {
            OPEN | OFlags::NOFOLLOW | OFlags::DIRECTORY
        } else {
            OPEN | OFlags::NOFOLLOW
        };
        if component == b".." {
            return Err(OpenFault::Missing);
        }
        held = Some(rustix::fs::openat(at, component, flags, Mode::empty())?);
    }
    held.ok_or(OpenFault::Missing)
}

impl From<Errno> for OpenFault {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::XDEV
            | Errno::ILSEQ
            | Errno::NXIO
            | Errno::NODEV
            | Errno::INVAL => Self::Missing,
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            _ => Self::Unavailable,
        }
    }
}

impl From<io::Error> for OpenFault {
    fn from(error: io::Error) -> Self {
        Errno::from_io_error(&error).map_or(Self::Unavailable, Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Folder {
        whole: tempfile::TempDir,
    }

    impl Folder {
        /// `root` with a file, a folder and links; `secret` beside it.
        fn new() -> Self {
            let whole = tempfile::tempdir().expect("there is room for a folder");
            let root = whole.path().join("root");
            fs::create_dir_all(root.join("sub")).expect("a folder can be made");
            fs::write(whole.path().join("secret"), "secret").expect("a file can be written");
            fs::write(root.join("file"), "file").expect("a file can be written");
            fs::write(root.join("sub/file"), "sub").expect("a file can be written");
            for (to, name) in [
                ("sub/file", "inside"),
                ("../secret", "outside"),
                ("sub", "folder"),
                ("..", "parent"),
                ("loop", "loop"),
                ("sub/../../secret", "around"),
                ("sub/../file", "back"),
            ] {
                symlink(to, root.join(name)).expect("a link can be made");
            }
            symlink(root.join("sub/file"), root.join("absolute")).expect("a link can be made");
            symlink(whole.path().join("secret"), root.join("absolute-out"))
                .expect("a link can be made");
            symlink("/proc/self/root", root.join("magic")).expect("a link can be made");
            Self { whole }
        }

        fn root(&self) -> Root {
            Root::new(&self.whole.path().join("root"))
        }
    }

    fn text(node: Result<Node, OpenFault>) -> Result<String, OpenFault> {
        let Node::File(file) = node? else {
            return Ok("a directory".into());
        };
        let mut out = Vec::new();
        file.read(&mut out, 0, 100).expect("it can be read");
        Ok(String::from_utf8(out).expect("it is text"))
    }

    #[test]
    fn links_are_followed_inside_and_nowhere_else() {
        let folder = Folder::new();
        let mut root = folder.root();
        for (name, expected) in [
            ("", Ok("a directory")),
            ("file", Ok("file")),
            ("sub", Ok("a directory")),
            ("sub/file", Ok("sub")),
            ("inside", Ok("sub")),
            ("folder/file", Ok("sub")),
            ("back", Ok("file")),
            ("absolute", Ok("sub")),
            ("none", Err(OpenFault::Missing)),
            ("file/x", Err(OpenFault::Missing)),
            ("outside", Err(OpenFault::Missing)),
            ("around", Err(OpenFault::Missing)),
            ("absolute-out", Err(OpenFault::Missing)),
            ("parent", Err(OpenFault::Missing)),
            ("parent/secret", Err(OpenFault::Missing)),
            ("../secret", Err(OpenFault::Missing)),
            ("/etc/passwd", Err(OpenFault::Missing)),
            ("magic/etc/passwd", Err(OpenFault::Missing)),
            ("loop", Err(OpenFault::Missing)),
        ] {
            let found = text(root.open(name.as_bytes(), 0));
            assert_eq!(found.as_deref(), expected.as_ref().copied(), "{name}");
        }
        let long = "x".repeat(300);
        assert_eq!(text(root.open(long.as_bytes(), 0)), Err(OpenFault::Missing));
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let folder = Folder::new();
        let mut root = folder.root();
        root.walks = true;
        for (name, expected) in [
            ("", Ok("a directory")),
            ("file", Ok("file")),
            ("sub/file", Ok("sub")),
            ("inside", Err(OpenFault::Missing)),
            ("folder/file", Err(OpenFault::Missing)),
            ("outside", Err(OpenFault::Missing)),
            ("../secret", Err(OpenFault::Missing)),
            ("sub/../../secret", Err(OpenFault::Missing)),
        ] {
            let found = text(root.open(name.as_bytes(), 0));
            assert_eq!(found.as_deref(), expected.as_ref().copied(), "{name}");
        }
    }

    #[test]
    fn a_root_that_is_switched_is_seen_after_a_second() {
        let whole = tempfile::tempdir().expect("there is room for a folder");
        for release in ["one", "two"] {
            fs::create_dir(whole.path().join(release)).expect("a folder can be made");
            fs::write(whole.path().join(release).join("file"), release)
                .expect("a file can be written");
        }
        let current = whole.path().join("current");
        symlink("one", &current).expect("a link can be made");
        let mut root = Root::new(&current);
        assert_eq!(text(root.open(b"file", 0)).as_deref(), Ok("one"));
        fs::remove_file(&current).expect("it was just made");
        assert_eq!(text(root.open(b"file", 999)).as_deref(), Ok("one"));
        assert_eq!(text(root.open(b"file", 1000)), Err(OpenFault::Missing));
        symlink("two", &current).expect("a link can be made");
        assert_eq!(text(root.open(b"file", 1001)).as_deref(), Ok("two"));
    }

    #[test]
    fn a_race_of_links_never_leads_out() {
        for walks in [false, true] {
            let folder = Folder::new();
            let base = folder.whole.path().join("root");
            fs::create_dir(folder.whole.path().join("out")).expect("a folder can be made");
            fs::write(folder.whole.path().join("out/file"), "secret")
                .expect("a file can be written");
            // `swap` is now the folder in the root, now a link to the one outside.
            fs::create_dir(base.join("swap")).expect("a folder can be made");
            fs::write(base.join("swap/file"), "sub").expect("a file can be written");
            symlink("../out", base.join("link")).expect("a link can be made");
            let done = AtomicBool::new(false);
            let mut root = folder.root();
            root.walks = walks;
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        for (from, to) in [
                            ("swap", "aside"),
                            ("link", "swap"),
                            ("swap", "link"),
                            ("aside", "swap"),
                        ] {
                            fs::rename(base.join(from), base.join(to)).expect("it is there");
                        }
                    }
                });
                let mut found = 0;
                for _ in 0..20_000 {
                    match text(root.open(b"swap/file", 0)) {
                        Ok(text) => {
                            assert_eq!(text, "sub");
                            found += 1;
                        }
                        Err(OpenFault::Missing | OpenFault::Unavailable) => {}
                        Err(fault) => panic!("{fault:?}"),
                    }
                }
                done.store(true, Ordering::Relaxed);
                assert!(found > 0, "the folder was never in its place");
            });
        }
    }
}

//! Binding a unix socket so that nobody sees it half made, takes it over by accident or loses it to us.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::listener;
use crate::owner::Owner;

/// The file of a bound socket. Removed when the port goes away, unless it is somebody else's by then.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl SocketFile {
    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        let meta = std::fs::symlink_metadata(path)?;
        Ok((meta.dev(), meta.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor may have bound the path already. Gone is fine, and nothing else can be helped at this point.
        if Self::identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds `path` with the file mode `mode`, default 0o660, and the owner `owner`. A file that nobody listens on is replaced.
///
/// The socket is made under another name and renamed when all is set: a client that finds it may use it, and a stale file is
/// never missing in between.
pub(crate) fn bind(
    path: &Path,
    mode: Option<u32>,
    owner: Owner,
    backlog: u32,
) -> io::Result<(UnixListener, SocketFile)> {
    // Of two servers that start at once, the second sees the first listen.
    let _alone = lock_directory(path);
    refuse_live(path, Type::STREAM)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    // Left by a process of our number that was killed just here.
    let _ = std::fs::remove_file(&temporary);
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    // On Linux the file is made with the mode of its socket: nobody can connect before it is known who may. Elsewhere the
    // name is not known to anybody yet, which has to do.
    let _ = rustix::fs::fchmod(&socket, rustix::fs::Mode::empty());
    socket.bind(&SockAddr::unix(&temporary)?)?;
    let bound = (|| {
        if owner != Owner::default() {
            std::os::unix::fs::lchown(&temporary, owner.uid, owner.gid)?;
        }
        let mode = std::fs::Permissions::from_mode(mode.unwrap_or(0o660));
        std::fs::set_permissions(&temporary, mode)?;
        socket.listen(listener::backlog(backlog))?;
        let identity = SocketFile::identity(&temporary)?;
        std::fs::rename(&temporary, path)?;
        Ok(identity)
    })();
    match bound {
        Ok(identity) => {
            let path = path.to_owned();
            Ok((socket.into(), SocketFile { path, identity }))
        }
        Err(error) => {
            let _ = std::fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// Binds a name of Linux's abstract namespace: `path` with a NUL in front. It is free when the process ends.
pub(crate) fn bind_abstract(path: &Path, backlog: u32) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(listener::backlog(backlog))?;
    Ok(socket.into())
}

/// Keeps other servers out of the directory until dropped, for as long as one needs to bind there. Without the lock where there
/// are no locks, or where somebody holds on to it.
fn lock_directory(path: &Path) -> Option<std::fs::File> {
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    let directory = std::fs::File::open(directory.unwrap_or(Path::new("."))).ok()?;
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(directory),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_WAIT),
            Err(_) => return None,
        }
    }
    None
}

/// For half a second at most: one binds in far less than a millisecond.
const LOCK_TRIES: u32 = 100;
const LOCK_WAIT: Duration = Duration::from_millis(5);

/// Binds `path` for packets, as [`bind`] does for connections. Not under another name first: that is what receivers of our
/// packets would see.
pub(crate) fn bind_datagram(
    path: &Path,
    mode: Option<u32>,
    owner: Owner,
) -> io::Result<(UnixDatagram, SocketFile)> {
    let _alone = lock_directory(path);
    refuse_live(path, Type::DGRAM)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::DGRAM.nonblocking().cloexec(), None)?;
    // The file is made with the mode of the socket: at no time may anybody write to it who may not.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::empty())?;
    socket.bind(&SockAddr::unix(path)?)?;
    let identity = SocketFile::identity(path)?;
    let path = path.to_owned();
    let file = SocketFile { path, identity };
    if owner != Owner::default() {
        std::os::unix::fs::lchown(&file.path, owner.uid, owner.gid)?;
    }
    let mode = std::fs::Permissions::from_mode(mode.unwrap_or(0o660));
    std::fs::set_permissions(&file.path, mode)?;
    Ok((socket.into(), file))
}

/// Refuses a path that is in use: by a socket somebody listens on, or by a file that is no socket.
fn refuse_live(path: &Path, kind: Type) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(meta) if !meta.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => {
            let socket = Socket::new(Domain::UNIX, kind, None)?;
            // A listener whose queue is full would make a blocking connect wait.
            socket.set_nonblocking(true)?;
            match socket.connect(&SockAddr::unix(path)?) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
                // Its queue is full, or it is a socket of the other type: somebody is there.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock
                        || error.raw_os_error()
                            == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) =>
                {
                    Err(io::ErrorKind::AddrInUse.into())
                }
                Err(error) => Err(error),
            }
        }
    }
}

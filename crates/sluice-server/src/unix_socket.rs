//! Binding a unix socket so that nobody sees it half made, takes it over by accident or loses it to us.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

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

/// Binds `path` with the file mode `mode`, default 0o660. A file that nobody listens on is replaced.
///
/// The socket is made under another name and renamed when its mode is set: a client that finds it may use it, and a stale file
/// is never missing in between.
pub(crate) fn bind(path: &Path, mode: Option<u32>) -> io::Result<(UnixListener, SocketFile)> {
    refuse_live(path)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    // Left by a process of our number that was killed just here.
    let _ = std::fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary)?;
    let bound = (|| {
        std::fs::set_permissions(
            &temporary,
            std::fs::Permissions::from_mode(mode.unwrap_or(0o660)),
        )?;
        listener.set_nonblocking(true)?;
        let identity = SocketFile::identity(&temporary)?;
        std::fs::rename(&temporary, path)?;
        Ok(identity)
    })();
    match bound {
        Ok(identity) => {
            let path = path.to_owned();
            Ok((listener, SocketFile { path, identity }))
        }
        Err(error) => {
            let _ = std::fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// Refuses a path that is in use: by a socket somebody listens on, or by a file that is no socket.
fn refuse_live(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(meta) if !meta.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) => {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            // A listener whose queue is full would make a blocking connect wait.
            socket.set_nonblocking(true)?;
            match socket.connect(&SockAddr::unix(path)?) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
                Ok(()) => Err(io::ErrorKind::AddrInUse.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Err(io::ErrorKind::AddrInUse.into())
                }
                Err(error) => Err(error),
            }
        }
    }
}

//! Two calls on file descriptors for which no library has a safe form.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A second descriptor for what `number` names, closed when dropped. `number` itself stays open: whoever opened it owns it. It
/// is not passed on to programs that this process starts from now on.
///
/// # Errors
///
/// `EBADF` when nothing is open there, `EMFILE` when no descriptor is free.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(2) takes any number and fails with EBADF where nothing is open; these commands touch no memory of ours.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    // SAFETY: the kernel has just made `copy` for this call, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// An option of a TCP socket that takes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// `TCP_FASTOPEN` of a listener: how many connections may wait that have sent data with their SYN.
    FastOpen,
    /// `TCP_DEFER_ACCEPT` of a listener: for so many seconds a connection is not reported before it has sent something.
    DeferAccept,
}

/// Sets an option of a TCP socket.
///
/// # Errors
///
/// The system's; `Unsupported` where the system has no such option.
pub fn set_tcp_option(socket: BorrowedFd<'_>, option: TcpOption, value: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    let name = Some(match option {
        TcpOption::FastOpen => libc::TCP_FASTOPEN,
        TcpOption::DeferAccept => libc::TCP_DEFER_ACCEPT,
    });
    #[cfg(not(target_os = "linux"))]
    let name: Option<libc::c_int> = {
        let _ = option;
        None
    };
    let Some(name) = name else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let value = libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX);
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the pointer is to `size` bytes that live until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            name,
            (&raw const value).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_duplicate_lives_on_when_the_first_descriptor_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let copy = duplicate(listener.as_raw_fd()).expect("it is open");
        assert_ne!(copy.as_raw_fd(), listener.as_raw_fd());
        drop(listener);
        TcpStream::connect(address).expect("the duplicate listens");
        drop(copy);
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn what_is_not_open_cannot_be_duplicated() {
        for number in [-1, 1 << 20] {
            let error = duplicate(number).expect_err("nothing is open there");
            assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_listener_takes_both_options_and_another_socket_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        set_tcp_option(listener.as_fd(), TcpOption::FastOpen, 256).expect("Linux has it");
        set_tcp_option(listener.as_fd(), TcpOption::DeferAccept, 5).expect("Linux has it");
        let (unix, _) = std::os::unix::net::UnixStream::pair().expect("there are descriptors");
        assert!(set_tcp_option(unix.as_fd(), TcpOption::FastOpen, 1).is_err());
    }
}

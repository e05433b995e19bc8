//! Listening sockets that whoever started the process has opened: systemd, a supervisor, a shell.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use sluice_core::config::Descriptor;
use socket2::{Domain, Socket, Type};

use crate::listener::{Bound, LocalAddress};

/// systemd's first descriptor, `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;

/// The number of a descriptor. Names are those that systemd gives (`FileDescriptorName=`), see sd_listen_fds_with_names(3).
pub(crate) fn find(descriptor: &Descriptor) -> io::Result<RawFd> {
    match descriptor {
        Descriptor::Number(number) => Ok((*number).into()),
        Descriptor::Name(name) => find_name(name, |variable| std::env::var(variable).ok()),
    }
}

pub(crate) fn shown(descriptor: &Descriptor) -> String {
    match descriptor {
        Descriptor::Number(number) => number.to_string(),
        Descriptor::Name(name) => name.clone(),
    }
}

fn find_name(name: &str, variable: impl Fn(&str) -> Option<String>) -> io::Result<RawFd> {
    let number = |variable: Option<String>| variable?.parse::<u32>().ok();
    let count = match (
        number(variable("LISTEN_PID")),
        number(variable("LISTEN_FDS")),
    ) {
        (Some(pid), Some(count)) if pid == std::process::id() => count as usize,
        (Some(_), Some(_)) => return Err(missing("LISTEN_PID names another process")),
        _ => return Err(missing("LISTEN_PID and LISTEN_FDS are not set")),
    };
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    match names.split(':').take(count).position(|given| given == name) {
        Some(index) => Ok(FIRST + index as RawFd),
        None => Err(missing("LISTEN_FDNAMES does not have the name")),
    }
}

fn missing(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, message)
}

/// Takes the stream socket behind a descriptor. The descriptor itself is left open, because it may be needed for a second
/// start, so that connections wait in between instead of being refused.
pub(crate) fn adopt(number: RawFd, backlog: u32) -> io::Result<(Bound, LocalAddress)> {
    let socket = Socket::from(sluice_shared::duplicate(number)?);
    if !is_stream(&socket) {
        return Err(invalid("the descriptor is not a stream socket"));
    }
    let address = socket.local_addr()?;
    let domain = address.domain();
    socket.set_nonblocking(true)?;
    if !is_listening(&socket) {
        // systemd hands over sockets that listen; inetd's `wait` and hand-made ones may only be bound.
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    }
    if let Some(address) = address.as_socket() {
        if address.port() == 0 {
            return Err(invalid("the socket is not bound"));
        }
        return Ok((Bound::Tcp(socket.into()), LocalAddress::Tcp(address)));
    }
    if domain != Domain::UNIX {
        return Err(invalid("the socket is neither TCP nor unix"));
    }
    let path = match (address.as_pathname(), address.as_abstract_namespace()) {
        (Some(path), _) => path.to_owned(),
        (None, Some(name)) => format!("\0{}", String::from_utf8_lossy(name)).into(),
        (None, None) => return Err(invalid("the socket is not bound")),
    };
    // The file belongs to who made it.
    let listener = OwnedFd::from(socket).into();
    Ok((Bound::Unix(listener, None), LocalAddress::Unix(path)))
}

fn is_stream(socket: &Socket) -> bool {
    socket.r#type().is_ok_and(|kind| kind == Type::STREAM)
}

/// Where the system does not tell, it does: `listen` on such a socket changes its backlog and nothing else.
fn is_listening(socket: &Socket) -> bool {
    socket.is_listener().unwrap_or(false)
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;

    use super::*;

    fn message(socket: &impl AsRawFd) -> String {
        match adopt(socket.as_raw_fd(), 16) {
            Ok((_, address)) => panic!("{address:?} was taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_count_from_descriptor_3_for_this_process_only() {
        let me = std::process::id().to_string();
        let find = |name: &str, pid: &str| {
            find_name(name, |variable| match variable {
                "LISTEN_PID" => Some(pid.to_owned()),
                "LISTEN_FDS" => Some("2".to_owned()),
                _ => Some("web:admin:beyond".to_owned()),
            })
            .map_err(|error| error.to_string())
        };
        assert_eq!(find("web", &me), Ok(3));
        assert_eq!(find("admin", &me), Ok(4));
        for name in ["beyond", "other"] {
            let expected = "LISTEN_FDNAMES does not have the name".to_owned();
            assert_eq!(find(name, &me), Err(expected));
        }
        let expected = "LISTEN_PID names another process".to_owned();
        assert_eq!(find("web", "1"), Err(expected));
        let expected = "LISTEN_PID and LISTEN_FDS are not set".to_owned();
        assert_eq!(find("web", ""), Err(expected));
    }

    #[test]
    fn a_listener_is_taken_with_its_address_and_stays_open() {
        let theirs = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = theirs.local_addr().expect("it is bound");
        let (bound, local) = adopt(theirs.as_raw_fd(), 16).expect("it listens");
        assert_eq!(local, LocalAddress::Tcp(address));
        drop(bound);
        TcpStream::connect(address).expect("the descriptor was left open");
    }

    #[test]
    fn a_socket_that_is_only_bound_is_made_to_listen() {
        let theirs = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        theirs.bind(&any.into()).expect("a port is free");
        let (_bound, local) = adopt(theirs.as_raw_fd(), 16).expect("it is bound");
        let LocalAddress::Tcp(address) = local else {
            panic!("{local:?} is TCP");
        };
        TcpStream::connect(address).expect("it listens");
    }

    #[test]
    fn what_cannot_accept_is_refused_with_the_reason() {
        let file = std::fs::File::open("/dev/null").expect("it is there");
        assert!(message(&file).contains("not a stream socket"));
        let packets = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        assert!(message(&packets).contains("not a stream socket"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let connected = TcpStream::connect(address).expect("it listens");
        assert!(!message(&connected).is_empty());
        let (unix, _) = std::os::unix::net::UnixStream::pair().expect("there are sockets");
        assert!(!message(&unix).is_empty());
        assert!(adopt(1 << 20, 16).is_err_and(|error| error.raw_os_error() == Some(9)));
    }
}

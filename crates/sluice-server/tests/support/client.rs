//! A blocking HTTP/1.1 client that says byte for byte what it is told to.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::LIMIT;

pub struct Client {
    pub stream: TcpStream,
    /// Read and not yet taken.
    input: Vec<u8>,
}

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The lines between the status line and the empty line, in lower case.
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    pub fn closes(&self) -> bool {
        self.head.contains("connection: close")
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream
            .set_read_timeout(Some(LIMIT))
            .expect("the limit is not zero");
        stream
            .set_write_timeout(Some(LIMIT))
            .expect("the limit is not zero");
        Self {
            stream,
            input: Vec::new(),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server takes it");
    }

    pub fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
    }

    pub fn post(&mut self, path: &str, body: &[u8]) {
        self.send(format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
            body.len()
        ));
        self.send(body);
    }

    pub fn half_close(&mut self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("the connection is open");
    }

    /// Leaves with FIN.
    pub fn half_close_and_drop(mut self) {
        self.half_close();
    }

    /// Leaves with RST: the server notices at once.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("it is a TCP socket");
    }

    /// The next answer, to a request that is not HEAD.
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        if response.status < 200 || response.status == 204 || response.status == 304 {
            return response;
        }
        if response.head.contains("transfer-encoding: chunked") {
            loop {
                let line = self.line();
                let size = usize::from_str_radix(&line, 16).expect("a chunk size");
                let chunk = self.exactly(size + 2);
                response.body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    return response;
                }
            }
        }
        let length = response
            .head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map(|length| length.parse().expect("a length"));
        response.body = match length {
            Some(length) => self.exactly(length),
            None => self.rest(),
        };
        response
    }

    /// The next chunk of a chunked answer; empty for the last one.
    pub fn chunk(&mut self) -> Vec<u8> {
        let line = self.line();
        let size = usize::from_str_radix(&line, 16).expect("a chunk size");
        let mut chunk = self.exactly(size + 2);
        assert_eq!(chunk.split_off(size), b"\r\n");
        chunk
    }

    /// Whether there is something to read at the moment.
    pub fn has_chunk(&mut self) -> bool {
        self.stream
            .set_nonblocking(true)
            .expect("it is a TCP socket");
        let has_more = self.fill().is_ok();
        self.stream
            .set_nonblocking(false)
            .expect("it is a TCP socket");
        has_more || !self.input.is_empty()
    }

    /// The next answer's head alone.
    pub fn head(&mut self) -> Response {
        let status = self.line();
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("a status line, got {status:?}"));
        let mut head = String::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            head.push_str(&line.to_ascii_lowercase());
            head.push('\n');
        }
        Response {
            status,
            head,
            body: Vec::new(),
        }
    }

    /// Reads to the server's FIN and returns what came before it.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill().expect("FIN, not RST") {}
        std::mem::take(&mut self.input)
    }

    /// Reads until the server's RST and returns what came before it.
    pub fn rest_before_reset(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => panic!("the connection ended as if all were well"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    return std::mem::take(&mut self.input);
                }
            }
        }
    }

    /// Exactly that many bytes.
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.input.len() < count {
            assert!(
                self.fill().expect("the connection lives"),
                "FIN after {} of {count} bytes",
                self.input.len()
            );
        }
        self.input.drain(..count).collect()
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).expect("a line of text");
            }
            assert!(
                self.fill().expect("the connection lives"),
                "FIN within {:?}",
                String::from_utf8_lossy(&self.input)
            );
        }
    }

    /// Reads more. False at FIN.
    fn fill(&mut self) -> std::io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer)?;
        self.input.extend_from_slice(&buffer[..count]);
        Ok(count > 0)
    }
}

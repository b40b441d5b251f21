//! A server on loopback that answers as no API server does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// A status, and a body that begins with one text and goes on with another for as many bytes.
pub(crate) struct Answer {
    status: u16,
    begin: String,
    again: String,
    length: usize,
}

impl Answer {
    pub(crate) fn new(status: u16, begin: &str, again: String, length: usize) -> Self {
        Self {
            status,
            begin: begin.into(),
            again,
            length,
        }
    }
}

/// Starts a server and returns its URL. `answer` gets path and query of a request.
pub(crate) fn serve(answer: fn(&str) -> Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let connection = connection.unwrap();
            // Who has read enough hangs up.
            std::thread::spawn(move || drop(speak(connection, answer)));
        }
    });
    url
}

fn speak(mut connection: TcpStream, answer: fn(&str) -> Answer) -> std::io::Result<()> {
    let mut asked = Vec::new();
    let mut byte = [0];
    while !asked.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte)?;
        asked.extend(byte);
    }
    let asked = String::from_utf8(asked).unwrap();
    let answer = answer(asked.split(' ').nth(1).unwrap());
    let status = answer.status;
    write!(
        connection,
        "HTTP/1.1 {status} -\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )?;
    let mut chunk = |text: &str| write!(connection, "{:x}\r\n{text}\r\n", text.len());
    if !answer.begin.is_empty() {
        chunk(&answer.begin)?;
    }
    let mut sent = 0;
    while sent < answer.length {
        chunk(&answer.again)?;
        sent += answer.again.len();
    }
    write!(connection, "0\r\n\r\n")
}

//! A TCP forwarder that delays data in both directions to simulate a distant server.
//!
//! The slope of an operation's duration over the delay is its number of round trips.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Listens on a free loopback port and forwards each connection to `target`. Each byte arrives `delay` later, so a round
/// trip takes twice as long. It runs until the process exits.
///
/// # Errors
/// Fails if no port can be bound.
pub fn forward(target: SocketAddr, delay: Duration) -> io::Result<SocketAddr> {
    forward_counting(target, delay, Arc::default())
}

/// Like [`forward`], and counts the bytes to the target.
///
/// # Errors
/// Fails if no port can be bound.
pub fn forward_counting(
    target: SocketAddr,
    delay: Duration,
    sent: Arc<AtomicU64>,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // If the target is not reachable, the client sees a closed connection.
            let sent = sent.clone();
            thread::spawn(move || join(client, target, delay, &sent));
        }
    });
    Ok(address)
}

fn join(
    client: TcpStream,
    target: SocketAddr,
    delay: Duration,
    sent: &Arc<AtomicU64>,
) -> io::Result<()> {
    // The handshake also takes a round trip, which the client has not waited for yet.
    thread::sleep(2 * delay);
    let server = TcpStream::connect_timeout(&target, Duration::from_secs(10))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    carry(
        client.try_clone()?,
        server.try_clone()?,
        delay,
        sent.clone(),
    );
    carry(server, client, delay, Arc::default());
    Ok(())
}

/// Starts the threads of one direction: one reads and records the time, one writes data that is due.
fn carry(from: TcpStream, to: TcpStream, delay: Duration, count: Arc<AtomicU64>) {
    let (sender, receiver) = channel();
    thread::spawn(move || read(from, &sender, delay, &count));
    thread::spawn(move || write(to, &receiver));
}

fn read(mut from: TcpStream, due: &Sender<(Instant, Vec<u8>)>, delay: Duration, read: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        read.fetch_add(count as u64, Ordering::Relaxed);
        if due
            .send((Instant::now() + delay, buffer[..count].to_vec()))
            .is_err()
        {
            return;
        }
    }
    // An empty chunk represents the end of the stream, which is also delayed.
    let _ = due.send((Instant::now() + delay, Vec::new()));
}

fn write(mut to: TcpStream, due: &Receiver<(Instant, Vec<u8>)>) {
    for (at, bytes) in due {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a server that echoes all data in upper case.
    fn server() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut text = Vec::new();
                client.read_to_end(&mut text).unwrap();
                client.write_all(&text.to_ascii_uppercase()).unwrap();
            }
        });
        address
    }

    #[test]
    fn a_round_trip_takes_both_delays() {
        let delay = Duration::from_millis(20);
        let start = Instant::now();
        let mut client = TcpStream::connect(forward(server(), delay).unwrap()).unwrap();
        client.write_all(b"some text").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "SOME TEXT");
        // Only a lower bound: the overhead depends on the machine.
        assert!(start.elapsed() >= 4 * delay, "{:?}", start.elapsed());
    }

    #[test]
    fn large_contents_arrive_whole_and_are_counted() {
        let text = vec![b'x'; 3_000_000];
        let (sent, delay) = (Arc::default(), Duration::from_millis(1));
        let forwarder = forward_counting(server(), delay, Arc::clone(&sent)).unwrap();
        let mut client = TcpStream::connect(forwarder).unwrap();
        client.write_all(&text).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, text.to_ascii_uppercase());
        assert_eq!(sent.load(Ordering::Relaxed), 3_000_000);
    }
}

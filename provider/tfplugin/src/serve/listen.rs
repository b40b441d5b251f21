//! The socket that Terraform connects to: a Unix socket, or TCP on the loopback address.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdTcpListener};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tonic::transport::server::Connected;

use super::error::ServeError;

/// Where the client wants the plugin to listen.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    group: Option<String>,
    ports: RangeInclusive<u16>,
}

impl Place {
    /// Reads the variables that `get` knows. Ports out of range count as absent.
    pub(super) fn read(get: &impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| get(name).map(|value| value.to_string_lossy().into_owned());
        let port = |name: &str| text(name).and_then(|text| text.parse().ok()).unwrap_or(0);
        let (first, last) = (port("PLUGIN_MIN_PORT"), port("PLUGIN_MAX_PORT"));
        Self {
            directory: socket_directory(get),
            group: text("PLUGIN_UNIX_SOCKET_GROUP").filter(|group| !group.is_empty()),
            // 0 lets the kernel choose.
            ports: if first == 0 || last < first {
                0..=0
            } else {
                first..=last
            },
        }
    }
}

/// Returns the directory named by `PLUGIN_UNIX_SOCKET_DIR`, else the one for temporary files.
fn socket_directory(get: &impl Fn(&str) -> Option<OsString>) -> PathBuf {
    get("PLUGIN_UNIX_SOCKET_DIR")
        .filter(|value| !value.is_empty())
        .map_or_else(std::env::temp_dir, PathBuf::from)
}

/// The address of a listener, as in the handshake line. Dropping it removes the socket's file.
#[derive(Debug)]
pub(super) enum Address {
    /// A port on the loopback address.
    Tcp(SocketAddr),
    /// A socket in the file system.
    #[cfg(unix)]
    Unix(tempfile::TempPath),
}

impl Address {
    /// Returns go-plugin's word for the kind of address.
    pub(super) fn network(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            #[cfg(unix)]
            Self::Unix(_) => "unix",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            #[cfg(unix)]
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A bound socket.
#[derive(Debug)]
pub(super) enum Listener {
    /// A port on the loopback address.
    Tcp(TcpListener),
    /// A socket in the file system.
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// Binds a Unix socket; a TCP port where there is none or its path would be too long.
    ///
    /// # Errors
    /// [`ServeError::Listen`], [`ServeError::Group`]. Must be called within a runtime.
    pub(super) fn bind(place: &Place) -> Result<(Self, Address), ServeError> {
        #[cfg(unix)]
        match Self::bind_unix(place) {
            // The kernel takes about 104 bytes.
            Err(ServeError::Listen { source, .. })
                if source.kind() == io::ErrorKind::InvalidInput => {}
            result => return result,
        }
        Self::bind_tcp(place)
    }

    fn bind_tcp(place: &Place) -> Result<(Self, Address), ServeError> {
        let failed = |source| ServeError::Listen {
            address: format!("127.0.0.1:{:?}", place.ports),
            source,
        };
        let mut result = Err(io::ErrorKind::AddrInUse.into());
        for port in place.ports.clone() {
            result = StdTcpListener::bind((Ipv4Addr::LOCALHOST, port));
            if result.is_ok() {
                break;
            }
        }
        let listener = result.map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = Address::Tcp(listener.local_addr().map_err(failed)?);
        Ok((
            Self::Tcp(TcpListener::from_std(listener).map_err(failed)?),
            address,
        ))
    }

    #[cfg(unix)]
    fn bind_unix(place: &Place) -> Result<(Self, Address), ServeError> {
        use std::os::unix::net::UnixListener;

        let failed = |source| ServeError::Listen {
            address: place.directory.display().to_string(),
            source,
        };
        let socket = tempfile::Builder::new()
            .prefix("plugin")
            .make_in(&place.directory, |path| UnixListener::bind(path));
        let (listener, file) = socket.map_err(failed)?.into_parts();
        restrict(&file, place.group.as_deref())?;
        listener.set_nonblocking(true).map_err(failed)?;
        let socket = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
        Ok((Self::Unix(socket), Address::Unix(file)))
    }

    /// Waits for the next client.
    pub(super) async fn accept(&self) -> io::Result<Connection> {
        Ok(match self {
            Self::Tcp(listener) => Connection::new(listener.accept().await?.0),
            #[cfg(unix)]
            Self::Unix(socket) => Connection::new(socket.accept().await?.0),
        })
    }
}

/// Lets only the owner, or also `group`, connect.
#[cfg(unix)]
fn restrict(socket: &std::path::Path, group: Option<&str>) -> Result<(), ServeError> {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, chown};

    let failed = |source| ServeError::Restrict {
        socket: socket.to_owned(),
        source,
    };
    let mut mode = 0o600;
    if let Some(group) = group {
        let id = group_id(group).ok_or_else(|| ServeError::Group(group.to_owned()))?;
        chown(socket, None, Some(id)).map_err(failed)?;
        mode = 0o660;
    }
    set_permissions(socket, Permissions::from_mode(mode)).map_err(failed)
}

/// Returns the number of a group that is given by number or by its name in `/etc/group`.
#[cfg(unix)]
fn group_id(group: &str) -> Option<u32> {
    if let Ok(id) = group.parse() {
        return Some(id);
    }
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    let mut fields = groups
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(group)).then_some(fields))?;
    fields.nth(1)?.parse().ok()
}

trait Io: AsyncRead + AsyncWrite + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + 'static> Io for T {}

/// One client's connection, whatever it runs over.
pub(super) struct Connection(Pin<Box<dyn Io>>);

impl Connection {
    /// Wraps a stream.
    pub(super) fn new(io: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self(Box::pin(io))
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn place(directory: &Path, group: Option<&str>) -> Place {
        Place {
            directory: directory.to_owned(),
            group: group.map(str::to_owned),
            ports: 0..=0,
        }
    }

    #[tokio::test]
    async fn the_socket_lies_in_the_wanted_directory_and_goes_with_its_address() {
        let directory = tempfile::tempdir().unwrap();
        let (_listener, address) = Listener::bind(&place(directory.path(), None)).unwrap();
        let socket = PathBuf::from(address.to_string());
        assert_eq!(socket.parent(), Some(directory.path()));
        assert_eq!(
            socket.metadata().unwrap().permissions().mode() & 0o777,
            0o600
        );
        drop(address);
        assert!(!socket.exists());
    }

    #[tokio::test]
    async fn a_group_may_connect_if_the_client_names_one() {
        let directory = tempfile::tempdir().unwrap();
        let ours =
            std::os::unix::fs::MetadataExt::gid(&directory.path().metadata().unwrap()).to_string();
        let (_listener, address) = Listener::bind(&place(directory.path(), Some(&ours))).unwrap();
        let mode = Path::new(&address.to_string())
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o660);
        let unknown = Listener::bind(&place(directory.path(), Some("no such group")));
        assert!(matches!(unknown, Err(ServeError::Group(_))));
        assert_eq!(group_id("root"), Some(0));
    }

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_falls_back_to_the_loopback_address() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("d".repeat(120));
        std::fs::create_dir(&long).unwrap();
        let (_listener, address) = Listener::bind(&place(&long, None)).unwrap();
        assert!(address.to_string().starts_with("127.0.0.1:"), "{address}");
    }

    #[tokio::test]
    async fn a_directory_that_does_not_exist_is_an_error() {
        let missing = Listener::bind(&place(Path::new("/does/not/exist"), None));
        assert!(matches!(missing, Err(ServeError::Listen { .. })));
    }
}

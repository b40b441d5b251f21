//! The HTTP client: TLS, proxies and time limits of connections.
//!
//! kube's own client takes neither a verifier nor a certificate of version 1, so it is put together here of the same
//! parts.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderValue, Uri};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use kube::{Client, Config};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tower::{Layer as _, Service};

use crate::forward::Forward;
use crate::identity::Identity;
use crate::trust::Authorities;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Returns a client for the server of `config`, with a client's certificate if there is one.
///
/// # Errors
/// What cannot be used: a CA, the impersonated user, or the proxy.
pub(crate) fn client(config: &Config, identity: Option<&Identity>) -> Result<Client, Failure> {
    let tls = tls(config, identity)?;
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    let Some(proxy) = config.proxy_url.clone() else {
        return over(direct, config, tls);
    };
    let login = login(&proxy);
    match proxy.scheme_str() {
        Some("socks5" | "socks5h") => {
            let config = &with_server_port(config)?;
            let mut socks = SocksV5::new(with_port(&proxy, 1080)?, direct);
            if let Some((user, password)) = login {
                socks = socks.with_auth(user, password);
            }
            over(socks, config, tls)
        }
        Some("http") if is_plain(config) => {
            let forward = Forward::new(direct, with_port(&proxy, 80)?);
            over(forward, &with_proxy_login(config, login)?, tls)
        }
        Some("https") if is_plain(config) => {
            let secured = secured(direct, config, tls.clone())?;
            let forward = Forward::new(secured, with_port(&proxy, 443)?);
            over(forward, &with_proxy_login(config, login)?, tls)
        }
        Some("http") => {
            let tunnel = Tunnel::new(with_port(&proxy, 80)?, direct);
            over(with_login(tunnel, login)?, config, tls)
        }
        Some("https") => {
            let secured = secured(direct, config, tls.clone())?;
            let tunnel = Tunnel::new(with_port(&proxy, 443)?, secured);
            over(with_login(tunnel, login)?, config, tls)
        }
        _ => Err("a proxy must be http, https or socks5".into()),
    }
}

fn over<C>(connector: C, config: &Config, tls: ClientConfig) -> Result<Client, Failure>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<Failure>,
{
    let mut connector = TimeoutConnector::new(secured(connector, config, tls)?);
    connector.set_connect_timeout(config.connect_timeout);
    let client =
        hyper_util::client::legacy::Builder::new(TokioExecutor::new()).build::<_, Body>(connector);
    let service = config.extra_headers_layer()?.layer(client);
    let service = config.base_uri_layer().layer(service);
    Ok(Client::new(service, config.default_namespace.clone()))
}

fn secured<C>(
    connector: C,
    config: &Config,
    tls: ClientConfig,
) -> Result<HttpsConnector<C>, Failure> {
    let mut builder = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = ServerName::try_from(name.clone())?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_http1().wrap_connector(connector))
}

fn tls(config: &Config, identity: Option<&Identity>) -> Result<ClientConfig, Failure> {
    let authorities = config.root_cert.as_ref();
    let authorities = authorities.map(|certificates| Authorities::new(certificates));
    let mut plain = Config::new(config.cluster_url.clone());
    plain.root_cert = config.root_cert.as_ref().map(|_| vec![]);
    plain.accept_invalid_certs = config.accept_invalid_certs;
    // A library that is used by more than one crate may not choose the process's cryptography: the first one wins.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut tls = plain.rustls_client_config()?;
    if !config.accept_invalid_certs
        && let Some(authorities) = authorities
    {
        let verifier = Arc::new(authorities?);
        tls.dangerous().set_certificate_verifier(verifier);
    }
    if let Some(identity) = identity {
        let key = Arc::clone(&identity.key);
        tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(key));
    }
    Ok(tls)
}

/// Returns the user and the password of a proxy's URL, decoded.
fn login(proxy: &Uri) -> Option<(String, String)> {
    let (login, _) = proxy.authority()?.as_str().rsplit_once('@')?;
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((decoded(user), decoded(password)))
}

fn basic((user, password): (String, String)) -> Result<HeaderValue, Failure> {
    let login = BASE64.encode(format!("{user}:{password}"));
    let mut header = HeaderValue::try_from(format!("Basic {login}"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn with_login<C>(tunnel: Tunnel<C>, login: Option<(String, String)>) -> Result<Tunnel<C>, Failure> {
    Ok(match login {
        Some(login) => tunnel.with_auth(basic(login)?),
        None => tunnel,
    })
}

/// Each request has the login where the proxy reads the requests themselves.
fn with_proxy_login(config: &Config, login: Option<(String, String)>) -> Result<Config, Failure> {
    let mut config = config.clone();
    if let Some(login) = login {
        config.headers.push((PROXY_AUTHORIZATION, basic(login)?));
    }
    Ok(config)
}

fn is_plain(config: &Config) -> bool {
    config.cluster_url.scheme_str() == Some("http")
}

/// Names the port of a plain HTTP server: without one, connectors of proxies take that of HTTPS.
fn with_server_port(config: &Config) -> Result<Config, Failure> {
    let mut config = config.clone();
    if is_plain(&config) && config.cluster_url.port().is_none() {
        let mut parts = config.cluster_url.into_parts();
        let authority = parts.authority.ok_or("the server has no host")?;
        parts.authority = Some(format!("{authority}:80").parse()?);
        config.cluster_url = Uri::from_parts(parts)?;
    }
    Ok(config)
}

/// Returns the URL of a proxy with the port that its scheme stands for, unless it has one.
fn with_port(proxy: &Uri, port: u16) -> Result<Uri, Failure> {
    let host = proxy.host().ok_or("a proxy's URL must have a host")?;
    let port = proxy.port_u16().unwrap_or(port);
    let scheme = proxy.scheme_str().unwrap_or("http");
    Ok(format!("{scheme}://{host}:{port}").parse()?)
}

use std::fmt::{Debug, Display};
use std::str::FromStr;

use mesh::names::{
    Address, Cidr, EnvName, Host, HostPort, Id, LabelKey, LabelValue, Locality, Name, Namespace,
    Network, Port, PortName, Protocol, Sha256, SpiffeId,
};
use proptest::prelude::*;

fn check<T: FromStr<Err: Display> + Display + Debug>(good: &[&str], bad: &[&str]) {
    for text in good {
        let parsed = text.parse::<T>().map_err(|why| why.to_string()).unwrap();
        assert_eq!(parsed.to_string(), *text);
    }
    for text in bad {
        let why = text.parse::<T>().map(|_| text).unwrap_err().to_string();
        assert!(
            why.starts_with("must be ") && why.contains("), got "),
            "{why}"
        );
    }
}

#[test]
fn kubernetes_names() {
    let long = "a".repeat(64);
    check::<Namespace>(
        &["a", "a-1", &long[..63]],
        &["", "A", "a.b", "-a", "a-", "a_b", &long, "ä"],
    );
    check::<Name>(
        &["a", "a.b", "a-1.b"],
        &["", "a..b", ".a", "a.", "A", &"a.".repeat(200)],
    );
    check::<LabelKey>(
        &["app", "a.io/App_1", &long[..63]],
        &["", "/a", "a/", "A.io/a", "a/b/c", &long],
    );
    check::<LabelValue>(&["", "v2", "V_2.x"], &["-a", "a b", "a\n", &long]);
    check::<Id>(&["a/b.c"], &["a", "", "a/B", "A/b"]);
    check::<SpiffeId>(
        &["spiffe://td/ns/a/sa/b"],
        &["spiffe:///ns/a/sa/b", "spiffe://td/ns/a", "td/ns/a/sa/b"],
    );
}

#[test]
fn releases() {
    use mesh::names::{IstioVersion, ReleaseUrl};
    check::<IstioVersion>(
        &["1.31.0", "1.9.10", "1.32.0-alpha.0", "1.32.0-rc.12"],
        &[
            "",
            "1.31",
            "1.31.0.1",
            "v1.31.0",
            "1.31.x",
            "1.31.0-",
            "1.31.0-rc",
            "1.24.3-asm.5",
            "1..0",
            "latest",
        ],
    );
    let of_tag = |tag: &str| IstioVersion::of_tag(tag).map(|version| version.to_string());
    for (tag, version) in [
        ("1.31.0", Some("1.31.0")),
        ("1.31.0-distroless", Some("1.31.0")),
        ("1.32.0-beta.1-debug", Some("1.32.0-beta.1")),
        ("1.24.3-asm.5", None),
        ("", None),
    ] {
        assert_eq!(of_tag(tag).as_deref(), version, "{tag}");
    }
    check::<ReleaseUrl>(
        &[
            "https://mirror.example.com/istio",
            "http://10.0.0.1:8000",
            &ReleaseUrl::default().to_string(),
        ],
        &[
            "",
            "https://",
            "ftp://a",
            "https://a/",
            "https://u:p@a",
            "https://a?sig=1",
            "https://a b",
            "file:///a",
        ],
    );
}

/// Presigned URLs and those of private mirrors hold secrets, also where something else is wrong with them.
#[test]
fn an_error_shows_neither_the_login_nor_the_query_of_a_url() {
    use mesh::names::ReleaseUrl;
    for (url, shown) in [
        ("https://user:hunter2@host/a b", "https://…@host/a b"),
        ("https//user:hun/ter2@host", "https//…@host"),
        ("https://user:hun?ter2@host", "https://…@host"),
        ("https://host/a?sig=hunter2", "https://host/a?…"),
        ("https://host/", "https://host/"),
    ] {
        let error = url.parse::<ReleaseUrl>().unwrap_err();
        assert_eq!(error.found, shown);
    }
}

#[test]
fn istio_names() {
    check::<Network>(&["gcp-vms", "a.b"], &["", "a b"]);
    check::<Locality>(
        &["r", "r/z", "eu-1/a/b"],
        &["", "r//s", "/", "a/b/c/d", "a b"],
    );
    check::<PortName>(
        &["http", "A-1", &"a".repeat(62)],
        &["", "a_b", "-a", &"a".repeat(63)],
    );
    check::<Protocol>(&["TCP", "GRPC-WEB", "HTTP_PROXY"], &["", "ftp", "HTTP "]);
    assert_eq!(
        "grpc-web".parse::<Protocol>().unwrap().to_string(),
        "GRPC-WEB"
    );
    check::<mesh::workload::Runtime>(&["systemd"], &["", "Systemd"]);
    check::<mesh::workload::Interception>(&["redirect", "none"], &["", "Redirect"]);
    check::<EnvName>(&["A", "_a1"], &["", "1a", "a-b", "a b", "A=1"]);
    let hash = "0a".repeat(32);
    check::<Sha256>(
        &[&hash],
        &[
            "",
            &"0g".repeat(32),
            &"0a".repeat(31),
            "sha256:",
            &format!("md5:{hash}"),
        ],
    );
    for written in [format!("sha256:{hash}"), hash.to_uppercase()] {
        assert_eq!(written.parse::<Sha256>().unwrap().to_string(), hash);
    }
}

#[test]
fn addresses_and_ranges() {
    check::<Address>(
        &["10.0.0.1", "fd00::1", "a.example", "istio.io.", "A-1"],
        &["", "*.a", "1.2.3", "a:80", "a..b", "unix:///x"],
    );
    check::<Host>(
        &["a", "*.a.b", "ratings.vm.bookinfo"],
        &["", "*", "a.*", "*.", "*a.b", "a.1", &"a.".repeat(150)],
    );
    check::<Port>(
        &["1", "65535"],
        &["", "0", "65536", "-1", "+1", "01", "http"],
    );
    check::<Cidr>(
        &["10.0.0.1", "10.0.0.0/8", "fd00::/128"],
        &[
            "",
            "10.0.0.0/33",
            "fd00::/129",
            "a/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
        ],
    );
}

#[test]
fn an_error_contains_the_value_and_the_rule_and_is_short() {
    let why = "Book Info".parse::<Namespace>().unwrap_err().to_string();
    assert_eq!(
        why,
        r#"must be a namespace (1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit), got "Book Info""#
    );
    assert!(
        "x".repeat(10_000)
            .parse::<Namespace>()
            .unwrap_err()
            .to_string()
            .len()
            < 250
    );
}

fn round<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().unwrap(), value);
    }
}

proptest! {
    #[test]
    fn every_name_round_trips(text in "[a-zA-Z0-9.:/*_\\[\\]-]{0,24}|[ -~]{0,8}|\\PC{0,8}|(HT|ht)TP2?|[0-9]{1,5}|[0-9]{1,3}(\\.[0-9]{1,2}){3}(/[0-9]{1,2})?|spiffe://[a-z]{1,4}/ns/[a-z]{1,3}/sa/[a-z.]{1,4}") {
        round::<Namespace>(&text);
        round::<Name>(&text);
        round::<Id>(&text);
        round::<LabelKey>(&text);
        round::<LabelValue>(&text);
        round::<Network>(&text);
        round::<Locality>(&text);
        round::<PortName>(&text);
        round::<Protocol>(&text);
        round::<Port>(&text);
        round::<Address>(&text);
        round::<Host>(&text);
        round::<Cidr>(&text);
        round::<SpiffeId>(&text);
    }
}

#[test]
fn a_host_has_a_port() {
    check::<HostPort>(
        &[
            "csr.example.com:443",
            "cert-manager-istio-csr.cert-manager.svc:443",
            "192.0.2.7:6443",
            "[2001:db8::7]:443",
        ],
        &[
            "",
            "csr.example.com",
            "csr.example.com:",
            "csr.example.com:0",
            "csr.example.com:65536",
            "csr.example.com:0443",
            "https://csr.example.com:443",
            "csr.example.com:443/",
            "192.0.2.7",
            "192.0.2.7:0",
            "2001:db8::7:443",
            ":443",
            "a b:443",
        ],
    );
}

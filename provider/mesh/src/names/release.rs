//! Versions and releases of Istio.

use super::text;

text! {
    /// A version that Istio released.
    IstioVersion: "a version of Istio",
    "three numbers such as 1.31.0, followed by e.g. -alpha.0, -beta.1 or -rc.2 for a pre-release",
    is_version
}

impl IstioVersion {
    /// Returns the version in the tag of an image of any variant; `None` if Istio did not release it, e.g. for tags of
    /// vendors.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let variants = ["-distroless", "-debug"];
        let plain = variants
            .iter()
            .find_map(|variant| tag.strip_suffix(variant));
        plain.unwrap_or(tag).parse().ok()
    }
}

fn is_version(text: &str) -> bool {
    let is_number = |text: &str| {
        (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (numbers, before) = text
        .split_once('-')
        .map_or((text, None), |(numbers, before)| (numbers, Some(before)));
    let is_stage = |before: &str| {
        before.split_once('.').is_some_and(|(stage, number)| {
            matches!(stage, "alpha" | "beta" | "rc") && is_number(number)
        })
    };
    numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && before.is_none_or(is_stage)
}

text! {
    /// Base URL of Istio releases, with e.g. `VERSION/deb/istio-sidecar.deb` below it.
    ReleaseUrl: "a base URL of releases",
    "https:// or http://, without spaces, user, query, fragment or trailing '/'; it must not contain a password",
    |text| {
        let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.ends_with('/') && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"@?#".contains(&byte)))
    }
}

impl Default for ReleaseUrl {
    /// Istio's own, which has all versions.
    fn default() -> Self {
        Self("https://blob.istio.io/istio-release/releases".to_owned())
    }
}

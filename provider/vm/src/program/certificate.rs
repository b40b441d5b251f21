//! The validity of a certificate, read from its PEM text: no tool of the VM's is needed for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Returns begin and end of the first certificate in `pem`; `None` if it is none.
pub(super) fn validity(pem: &str) -> Option<(Timestamp, Timestamp)> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let base64: String = body.split_whitespace().collect();
    let der = STANDARD.decode(base64).ok()?;
    let (certificate, _) = value(&der, 0x30)?;
    let (mut fields, _) = value(certificate, 0x30)?;
    // The version is optional; serial number, algorithm and issuer stand before the validity.
    fields = value(fields, 0xa0).map_or(fields, |(_, rest)| rest);
    for tag in [0x02, 0x30, 0x30] {
        (_, fields) = value(fields, tag)?;
    }
    let (validity, _) = value(fields, 0x30)?;
    let (begin, rest) = time(validity)?;
    time(rest).map(|(end, _)| (begin, end))
}

/// Takes one DER value of this tag: its content, and what follows it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, der) = der.split_first()?;
    let (first, der) = der.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, der) = if *first < 0x80 {
        (usize::from(*first), der)
    } else {
        let (bytes, der) = der.split_at_checked(usize::from(first & 0x7f))?;
        let length = bytes.iter().try_fold(0_usize, |sum, byte| {
            sum.checked_mul(256)?.checked_add(usize::from(*byte))
        });
        (length?, der)
    };
    der.split_at_checked(length)
}

/// Takes a `UTCTime` (two digits of the year, 1950 to 2049) or a `GeneralizedTime`, and what follows.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (text, rest, century) = match value(der, 0x17) {
        Some((text, rest)) if text.first()? < &b'5' => (text, rest, "20"),
        Some((text, rest)) => (text, rest, "19"),
        None => value(der, 0x18).map(|(text, rest)| (text, rest, ""))?,
    };
    let text = format!("{century}{}", std::str::from_utf8(text).ok()?);
    let at = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    Some((at.to_zoned(TimeZone::UTC).ok()?.timestamp(), rest))
}

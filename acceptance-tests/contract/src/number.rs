//! Decimal numbers of any size as text.

use rmpv::Value as Msgpack;

/// Returns the shortest text of a number: `1e2`, `100` and `100.0` are the same number. `None`: not a number.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, digits) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let dropped = digits.len() - digits.trim_end_matches('0').len();
    let exponent = exponent.parse::<i64>().ok()? - i64::try_from(fraction.len()).ok()?
        + i64::try_from(dropped).ok()?;
    Some(format!("{sign}{}", place(significant, exponent)))
}

/// Writes `digits` times ten to the power of `exponent`.
fn place(digits: &str, exponent: i64) -> String {
    match usize::try_from(exponent) {
        Ok(zeros) if zeros <= 40 => format!("{digits}{}", "0".repeat(zeros)),
        Err(_) if exponent >= -40 => {
            let places = usize::try_from(-exponent).unwrap_or_default();
            let padded = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            format!("{whole}.{fraction}")
        }
        _ => format!("{digits}e{exponent}"),
    }
}

/// Encodes a number as Terraform does: as an integer, an exact float, or otherwise a string.
pub(crate) fn msgpack(text: &str) -> Msgpack {
    if let Ok(integer) = text.parse::<i64>() {
        return integer.into();
    }
    match text.parse::<f64>() {
        // A float can represent sums of powers of two: then its exact decimal expansion equals the text.
        Ok(float)
            if float.is_finite() && canonical(&format!("{float:.40}")).as_deref() == Some(text) =>
        {
            float.into()
        }
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_have_the_same_text() {
        let cases = [
            ("100", "100"),
            ("1e2", "100"),
            ("100.0", "100"),
            ("0.10", "0.1"),
            ("-0.0", "0"),
            ("-25e-1", "-2.5"),
            ("18446744073709551615", "18446744073709551615"),
            ("1e400", "1e400"),
            ("10e399", "1e400"),
            ("007", "7"),
        ];
        for (text, expected) in cases {
            assert_eq!(canonical(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "-", ".", "1e", "x", "1 ", "0x1"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_is_encoded_as_by_terraform() {
        let text = |text: &str| Msgpack::from(text);
        let cases = [
            ("7", 7.into()),
            ("2.5", 2.5.into()),
            ("0.1", text("0.1")),
            ("18446744073709551615", text("18446744073709551615")),
            ("1e400", text("1e400")),
        ];
        for (number, expected) in cases {
            assert_eq!(msgpack(number), expected, "{number}");
        }
    }
}

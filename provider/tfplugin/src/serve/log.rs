//! The log: events of `tracing` as go-hclog's JSON lines on standard error.
//!
//! **Invariant**: every value of a line is a JSON string; Terraform drops the process's log on anything else.

use std::fmt::Debug;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Bytes of one value. Terraform splits a line at 64 KiB and then shows its pieces raw.
const LONGEST: usize = 8 * 1024;
/// Crates that carry bytes: their debug output is about frames, and may hold what is secret.
const CARRIERS: [&str; 14] = [
    "h2",
    "hyper",
    "hyper_util",
    "kube",
    "kube_client",
    "mio",
    "openssh",
    "rustls",
    "tokio",
    "tokio_util",
    "tonic",
    "tower",
    "tower_http",
    "want",
];

/// Sends events of this process to standard error, at the level that Terraform's variables set.
///
/// `TF_LOG_PROVIDER`, else `TF_LOG`: `TRACE` to `ERROR`, or `JSON`, which means `TRACE`. Unset: no log.
pub(super) fn install(get: impl Fn(&str) -> Option<String>) {
    let wanted = get("TF_LOG_PROVIDER")
        .filter(|text| !text.is_empty())
        .or_else(|| get("TF_LOG"));
    let level = wanted.map_or(LevelFilter::OFF, |text| level(&text));
    if level != LevelFilter::OFF {
        let subscriber = tracing_subscriber::registry()
            .with(Lines(Mutex::new(io::stderr())).with_filter(filter(level)));
        // Fails if a program set its own before: then that one is wanted.
        _ = tracing::subscriber::set_global_default(subscriber);
    }
}

/// Prints a panic with the prefix by which Terraform finds it when it shows why a plugin crashed.
pub(super) fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic
            .location()
            .map(|place| format!(" at {place}"))
            .unwrap_or_default();
        let trace = std::backtrace::Backtrace::capture();
        // A closed standard error must not turn a panic into an abort.
        _ = writeln!(
            io::stderr(),
            "panic: {}\nthread {name}{place}\n{trace}",
            plain::with_line_breaks(message.to_owned())
        );
    }));
}

fn level(text: &str) -> LevelFilter {
    match text.to_ascii_uppercase().as_str() {
        "OFF" => LevelFilter::OFF,
        "ERROR" => LevelFilter::ERROR,
        "WARN" => LevelFilter::WARN,
        "INFO" => LevelFilter::INFO,
        "DEBUG" => LevelFilter::DEBUG,
        // As Terraform does for JSON and for any other word.
        _ => LevelFilter::TRACE,
    }
}

fn filter(level: LevelFilter) -> Targets {
    let carriers = CARRIERS.map(|name| (name, level.min(LevelFilter::WARN)));
    Targets::new().with_default(level).with_targets(carriers)
}

/// Writes each event as one line.
struct Lines<W>(Mutex<W>);

/// Fields, as strings, in the order in which they were recorded.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Write + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(Scope::from_root)
        {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.0.extend(outer.0.clone());
            }
        }
        event.record(&mut fields);
        let line = fields.into_line(event.metadata());
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // There is no place left to report that the log cannot be written.
        _ = out.write_all(line.as_bytes());
    }
}

impl Fields {
    fn into_line(mut self, metadata: &Metadata<'_>) -> String {
        let message = self.0.remove("message").unwrap_or_default();
        let mut put = |name: &str, value: String| self.0.insert(name.to_owned(), value.into());
        put("@level", metadata.level().to_string().to_ascii_lowercase());
        put("@message", message.as_str().unwrap_or_default().to_owned());
        put("@module", metadata.target().replace("::", "."));
        // Terraform wants all six digits, zeros too.
        put("@timestamp", format!("{:.6}", jiff::Timestamp::now()));
        format!("{}\n", Value::Object(self.0))
    }

    fn put(&mut self, field: &Field, mut text: String) {
        if text.len() > LONGEST {
            text.truncate(text.floor_char_boundary(LONGEST));
            text.push('…');
        }
        self.0.insert(
            field.name().to_owned(),
            plain::with_line_breaks(text).into(),
        );
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(level: LevelFilter, log: impl FnOnce()) -> Vec<Map<String, Value>> {
        let buffer = Buffer::default();
        let layer = Lines(Mutex::new(buffer.clone())).with_filter(filter(level));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let written = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn every_value_of_a_line_is_a_string() {
        let logged = lines(LevelFilter::DEBUG, || {
            let _span =
                tracing::info_span!("call", resource = "cloud_machine", attempt = 3).entered();
            tracing::debug!(target: "vm::ssh", port = 22, known = true, error = ?Some(1.5), "connected \"it\"\n");
        });
        let mut line = logged[0].clone();
        let timestamp = line.remove("@timestamp").unwrap();
        assert_eq!(
            timestamp.as_str().unwrap().len(),
            "2006-01-02T15:04:05.000000Z".len(),
            "{timestamp}"
        );
        let expected = serde_json::json!({
            "@level": "debug", "@message": "connected \"it\"\n", "@module": "vm.ssh", "attempt": "3",
            "error": "Some(1.5)", "known": "true", "port": "22", "resource": "cloud_machine",
        });
        assert_eq!(Value::Object(line), expected);
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let logged = lines(LevelFilter::INFO, || {
            tracing::info!(banner = "\u{1b}[2J\u{202e}", "a\u{9b}\nb");
        });
        assert_eq!(logged[0]["banner"], "\\u{1b}[2J\\u{202e}");
        assert_eq!(logged[0]["@message"], "a\\u{9b}\nb");
    }

    #[test]
    fn the_level_filters_and_carriers_are_quiet() {
        let logged = lines(level("debug"), || {
            tracing::trace!("below the level");
            tracing::debug!(target: "hyper::proto", "authorization: Bearer x");
            tracing::warn!(target: "hyper::proto", "connection lost");
        });
        assert_eq!(logged.len(), 1);
        assert_eq!(logged[0]["@message"], "connection lost");
    }

    #[test]
    fn a_long_value_keeps_the_line_in_one_piece() {
        let logged = lines(LevelFilter::INFO, || {
            tracing::info!(text = "ä".repeat(100_000), "long");
        });
        assert!(logged[0]["text"].as_str().unwrap().len() <= LONGEST + 3);
    }

    #[test]
    fn words_of_terraform_become_levels() {
        let words = [
            ("OFF", LevelFilter::OFF),
            ("warn", LevelFilter::WARN),
            ("JSON", LevelFilter::TRACE),
        ];
        for (word, expected) in words {
            assert_eq!(level(word), expected, "{word}");
        }
    }
}

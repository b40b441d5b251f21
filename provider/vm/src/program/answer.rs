//! The lines of an answer, collected until its end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use mesh::{ObservedVm, Owner, Runtime, Seen, SeenRuntime, UnitState};

use super::RunId;
use super::certificate::validity;
use super::report::{Check, Report, Verdict};

/// Lines that are kept: more is no answer of the program's.
const MOST_LINES: usize = 10_000;

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Keyword and the words behind it.
    said: Vec<(String, Vec<String>)>,
}

impl Answer {
    /// Takes one line.
    pub(super) fn take(&mut self, key: &str, rest: &str) {
        if self.said.len() < MOST_LINES {
            let words = rest.split_whitespace().map(str::to_owned).collect();
            self.said.push((key.into(), words));
        }
    }

    /// Makes the report of it all, or says what is missing.
    pub(super) fn report(self, run: &RunId) -> Result<Report, String> {
        let words = self
            .last("report")
            .ok_or("the program ended without a report")?;
        let word = |at: usize| words.get(at).cloned().unwrap_or_default();
        match word(0).as_str() {
            "observed" => self.observed().map(Report::Observed),
            "checked" => Ok(Report::Checked(self.checks())),
            "committed" => Ok(Report::Committed {
                version: self.text("version"),
                machine_id: self.text("machine").unwrap_or_default(),
                certificate_not_after: self.certificate().map(|(_, end)| end),
                recorded: self.last("recorded").is_some(),
                bypass: self.text("ipv6"),
                published: self.text("published"),
            }),
            "awaits" => Ok(Report::AwaitsVerdict(run.clone())),
            "reverted" => Ok(self.reverted()),
            "removed" => Ok(Report::Removed {
                left: self.texts("left"),
            }),
            "foreign" => {
                let owner = decode(&word(1)).as_deref().and_then(owner);
                let unreadable = || "the owner marker on the VM is not readable".to_owned();
                owner.map(Report::Foreign).ok_or_else(unreadable)
            }
            "busy" => Ok(Report::Busy {
                run: word(1),
                verb: word(2),
            }),
            "lost" => Ok(Report::Lost),
            "halfway" => Ok(Report::Halfway {
                step: word(1),
                lines: self.texts("line"),
            }),
            other => Err(format!("unknown report {other:?}")),
        }
    }

    fn all(&self, key: &'static str) -> impl Iterator<Item = &[String]> {
        let of_key = move |(name, _): &&(String, Vec<String>)| name == key;
        self.said
            .iter()
            .filter(of_key)
            .map(|(_, words)| words.as_slice())
    }

    fn last(&self, key: &'static str) -> Option<&[String]> {
        self.all(key).last()
    }

    fn texts(&self, key: &'static str) -> Vec<String> {
        self.all(key)
            .filter_map(|words| decode(words.first()?))
            .collect()
    }

    /// Begin and end of the proxy's certificate.
    fn certificate(&self) -> Option<(Timestamp, Timestamp)> {
        validity(&self.text("certificate")?)
    }

    fn text(&self, key: &'static str) -> Option<String> {
        self.texts(key)
            .pop()
            .map(|text| text.trim_end_matches('\n').to_owned())
    }

    fn reverted(&self) -> Report {
        let word = |key: &'static str| self.last(key).and_then(|words| words.first()).cloned();
        let found =
            |words: &[String]| Some(format!("{}: {}", words.first()?, decode(words.get(1)?)?));
        let bad = self.all("bad").filter_map(found);
        let unknown = self.all("unknown").filter_map(found);
        let unknown = unknown.map(|check| format!("{check} (not checked)"));
        Report::Reverted {
            // The first that failed: undoing may fail, too.
            step: self
                .all("failed")
                .next()
                .and_then(|words| words.first())
                .cloned()
                .unwrap_or_default(),
            hop: word("hop"),
            lines: bad.chain(unknown).chain(self.texts("line")).collect(),
        }
    }

    fn checks(&self) -> Vec<Check> {
        let check = |words: &[String]| {
            let [name, verdict, found @ ..] = words else {
                return None;
            };
            Some(Check {
                name: name.clone(),
                verdict: match verdict.as_str() {
                    "ok" => Verdict::Ok,
                    "bad" => Verdict::Bad,
                    _ => Verdict::Unknown,
                },
                found: found
                    .first()
                    .and_then(|text| decode(text))
                    .unwrap_or_default(),
                hint: hint(name),
            })
        };
        self.all("check").filter_map(check).collect()
    }

    fn observed(&self) -> Result<ObservedVm, String> {
        let seconds = self
            .last("clock")
            .and_then(|words| words.first()?.parse().ok());
        let clock = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let word = |words: &[String], at: usize| words.get(at).cloned().unwrap_or_default();
        Ok(ObservedVm {
            machine_id: self.text("machine").unwrap_or_default(),
            owner: self.text("owner").as_deref().and_then(owner),
            files: self
                .all("file")
                .map(file)
                .collect::<Option<_>>()
                .ok_or("a file is not readable")?,
            changed: self.texts("changed"),
            hosts_lines: self.texts("hosts"),
            runtime: SeenRuntime {
                kind: self
                    .last("runtime")
                    .and_then(|words| words.first()?.parse().ok())
                    .unwrap_or(Runtime::Systemd),
                image: self.text("image"),
                unit: self
                    .last("unit")
                    .map_or_else(UnitState::default, |words| UnitState {
                        active: word(words, 0),
                        enabled: word(words, 1),
                    }),
                version: self.text("version"),
                ready: self.last("ready").is_some(),
            },
            certificate: self.certificate(),
            chains: self.all("chain").map(|words| word(words, 0)).collect(),
            unfinished: self.last("unfinished").map(|words| word(words, 0)),
            clock: clock.ok_or("the VM did not tell its time")?,
        })
    }
}

/// Reads `PATH missing`, `PATH odd WHY` or `PATH OWNER MODE [CONTENT]`; path, reason and content in base64.
fn file(words: &[String]) -> Option<(String, Seen)> {
    let path = decode(words.first()?)?;
    let seen = match words.get(1..)? {
        [missing] if missing == "missing" => Seen::Missing,
        [odd, why] if odd == "odd" => Seen::Odd(decode(why)?.trim().to_owned()),
        [owner, mode, content @ ..] => Seen::File {
            owner: owner.clone(),
            mode: u32::from_str_radix(mode, 8).ok()?,
            content: STANDARD
                .decode(content.first().map_or("", String::as_str))
                .ok()?,
        },
        _ => return None,
    };
    Some((path, seen))
}

fn owner(line: &str) -> Option<Owner> {
    let (uid, id) = line.split_once(' ')?;
    Some(Owner {
        uid: uid.into(),
        id: id.trim().parse().ok()?,
    })
}

/// Returns the text, what is no UTF-8 in it replaced; `None` if it is no base64.
fn decode(base64: &str) -> Option<String> {
    let bytes = STANDARD.decode(base64).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What to do when a check fails.
fn hint(name: &str) -> &'static str {
    match name {
        "tools" => "install the missing commands on the VM",
        "systemd" => "the proxy runs as a systemd unit: use an image that boots with systemd",
        "disk" => "free some space below /var/lib",
        "state" => "run that command on the VM: what is in this folder is run as root",
        "clock" => "let the VM set its clock by NTP: certificates and tokens are valid by time",
        "sudo" => {
            "install util-linux's setpriv, or let root run commands as any user by sudo, without a terminal and with -E"
        }
        "package" => {
            "install the package istio-sidecar, or set proxy.install or proxy.version; fetching needs curl or GNU wget"
        }
        "runtime" => {
            "install the engine of proxy.runtime on the VM and let it run, or set proxy.runtime to systemd"
        }
        "iptables" => "install iptables, or set proxy.interception to none",
        "address" => "remove that entry, or the address from the VM",
        "ports" => "stop what listens on the proxy's ports",
        "dns" => "let the VM's DNS know the control plane, or set istio.control_plane_address",
        "control-plane" => "open the way from the VM to the control plane, port 15012",
        "tls-name" => {
            "let istiod's certificate carry that name (ISTIOD_CUSTOM_HOST), or set istio.control_plane_san"
        }
        _ => "",
    }
}

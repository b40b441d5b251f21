//! Output for the audience: titles, commands, and the relevant part of their output.

use std::io::{self, Write};

/// Prints a text. A closed stdout is ignored.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints the title of a scene.
pub(super) fn title(text: &str) {
    say(&format!("\n== {text}\n"));
}

/// Prints lines, indented.
pub(super) fn quote(text: &str) {
    for line in text.lines() {
        say(format!("    {line}").trim_end());
    }
}

/// Returns the part of a plan about the workload, without values that are unknown until apply. The address is kept in any
/// case.
pub(super) fn workload_of(plan: &str) -> String {
    let block = plan
        .lines()
        .skip_while(|line| !line.starts_with("  # mesh_vm_workload."));
    let mut shown = Vec::new();
    let mut left_out = 0;
    for line in block {
        if is_known_after_apply(line) && !line.contains(" address ") {
            left_out += 1;
            continue;
        }
        if line == "    }" {
            shown.push(format!(
                "      # ({left_out} more values known after apply)"
            ));
            shown.push(line.to_owned());
            break;
        }
        shown.push(line.to_owned());
    }
    shown.extend(
        plan.lines()
            .filter(|line| line.starts_with("Plan: "))
            .map(str::to_owned),
    );
    shown.join("\n")
}

/// Returns true if a line of a plan is about a top-level attribute with an unknown value.
fn is_known_after_apply(line: &str) -> bool {
    let top = ["      + ", "      ~ "].iter().any(|sign| {
        line.strip_prefix(sign)
            .is_some_and(|rest| !rest.starts_with(' '))
    });
    top && line.ends_with("(known after apply)")
}

/// Returns the lines in which Terraform reports completed actions.
pub(super) fn done(output: &str) -> String {
    let done = output
        .lines()
        .filter(|line| line.contains("complete after") || line.contains(" complete! "));
    done.collect::<Vec<_>>().join("\n")
}

/// Client and server of a request, as the server's proxy saw them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Peers {
    pub(super) caller: String,
    pub(super) answerer: String,
}

/// Returns the SPIFFE IDs of the header `x-forwarded-client-cert` in a response that echoes its request.
///
/// Its format: <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert>.
pub(super) fn peers(body: &str) -> Option<Peers> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let header = body["headers"]["x-forwarded-client-cert"].as_str()?;
    let part = |name: &str| {
        let mut parts = header.split([';', ',']);
        parts
            .find_map(|part| part.strip_prefix(name))
            .map(str::to_owned)
    };
    Some(Peers {
        caller: part("URI=")?,
        answerer: part("By=")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_from_the_proxy_s_header() {
        let body = r#"{"headers": {"x-forwarded-client-cert": "By=spiffe://a/ns/b/sa/vm;Hash=1;Subject=\"\";URI=spiffe://a/ns/b/sa/pod"}}"#;
        let expected = Peers {
            caller: "spiffe://a/ns/b/sa/pod".into(),
            answerer: "spiffe://a/ns/b/sa/vm".into(),
        };
        assert_eq!(peers(body), Some(expected));
        assert_eq!(peers(r#"{"headers": {}}"#), None);
        assert_eq!(peers("no healthy upstream"), None);
    }

    #[test]
    fn a_plan_is_cut_to_the_workload() {
        let plan = "\
noise
  # mesh_vm_workload.ratings will be created
  + resource \"mesh_vm_workload\" \"ratings\" {
      + address = (known after apply)
      + bundle_digest = (known after apply)
      + triggers = {
          + vm = (known after apply)
        }
    }

  # terraform_data.vm will be created

Plan: 2 to add, 0 to change, 0 to destroy.
";
        assert_eq!(
            workload_of(plan),
            "  # mesh_vm_workload.ratings will be created
  + resource \"mesh_vm_workload\" \"ratings\" {
      + address = (known after apply)
      + triggers = {
          + vm = (known after apply)
        }
      # (1 more values known after apply)
    }
Plan: 2 to add, 0 to change, 0 to destroy."
        );
    }
}

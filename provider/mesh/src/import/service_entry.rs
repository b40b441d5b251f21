//! Services, from `ServiceEntry` objects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::field::{optional, parsed, parsed_list};
use crate::mark::Mark;
use crate::names::{Id, Name, Port, PortName};
use crate::workload::{Service, ServicePort};

/// Returns the services of a workload or fleet from objects that select it.
pub(super) fn services<'a>(
    workload: &Id,
    mark: &Mark,
    objects: impl Iterator<Item = (&'a Name, &'a Value)>,
    notes: &mut Vec<String>,
) -> BTreeMap<Name, Service> {
    let mut services = BTreeMap::new();
    for (name, object) in objects {
        let title = format!("ServiceEntry {}/{name}", workload.namespace);
        let is_ours = Mark::of(object).as_ref() == Some(mark);
        match (key(workload, name, is_ours), service(&object["spec"])) {
            (Some((short, object_name)), Ok(service)) => {
                services.insert(short, Service { object_name, ..service });
            }
            (None, _) => notes.push(format!(
                "{title} selects this workload and is left as it is: only one that is called {}-<service> becomes a part of it.",
                workload.name
            )),
            (_, Err(why)) => notes.push(format!("{title} is left as it is: {why}.")),
        }
    }
    services
}

/// Returns the name of the service, and of its object where that does not follow from it.
fn key(workload: &Id, name: &Name, is_ours: bool) -> Option<(Name, Option<Name>)> {
    let rest = name.as_str().strip_prefix(workload.name.as_str());
    let short = rest.and_then(|rest| rest.strip_prefix('-'));
    match short.and_then(|short| short.parse().ok()) {
        Some(short) => Some((short, None)),
        None if is_ours => Some((name.clone(), Some(name.clone()))),
        None => None,
    }
}

fn service(spec: &Value) -> Result<Service, String> {
    let ports = spec["ports"].as_array().into_iter().flatten().map(|port| {
        let name: PortName = parsed("ports.name", &port["name"])?;
        let number: Port = parsed("ports.number", &port["number"])?;
        let target =
            optional("ports.targetPort", &port["targetPort"])?.filter(|target| *target != number);
        let protocol = parsed("ports.protocol", &port["protocol"])?;
        let port = ServicePort {
            target_port: target,
            ..ServicePort::new(number, protocol)
        };
        Ok((name, port))
    });
    Ok(Service {
        object_name: None,
        hosts: parsed_list("hosts", &spec["hosts"])?,
        addresses: parsed_list("addresses", &spec["addresses"])?,
        ports: ports.collect::<Result<_, String>>()?,
        export_to: parsed_list("exportTo", &spec["exportTo"])?,
        subject_alt_names: parsed_list("subjectAltNames", &spec["subjectAltNames"])?,
    })
}

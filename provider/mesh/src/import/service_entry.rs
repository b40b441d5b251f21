//! Imports services from `ServiceEntry` objects.

use std::collections::BTreeMap;

use serde_json::Value;

use super::field::{optional, parsed, parsed_list};
use crate::mark::Mark;
use crate::names::{Id, Name, Port, PortName};
use crate::workload::{Service, ServicePort};

/// Imports the services of a workload or fleet from objects that select it.
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
        let short = short_name(workload, name);
        let key = match (short, is_ours) {
            (Some(short), _) => Some((short, None)),
            (None, true) => Some((name.clone(), Some(name.clone()))),
            (None, false) => None,
        };
        match (key, service(&object["spec"])) {
            (Some((key, object_name)), Ok(service)) => {
                services.insert(key, Service { object_name, ..service });
            }
            (None, _) => notes.push(format!(
                "{title} selects this workload but is not imported: its name is not {}-<service>. It is left unchanged.",
                workload.name
            )),
            (_, Err(why)) => notes.push(format!("{title} is not imported: {why}. It is left unchanged.")),
        }
    }
    services
}

/// Returns the service's name if its object is named `<workload>-<service>`.
fn short_name(workload: &Id, name: &Name) -> Option<Name> {
    let rest = name.as_str().strip_prefix(workload.name.as_str());
    rest?.strip_prefix('-')?.parse().ok()
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

//! Rules of the labels, annotations and number of ports of an entry.

use super::problem::problem;
use crate::change::Problem;
use crate::fleet::Group;
use crate::mark::{FLEET_LABEL, WORKLOAD_LABEL};
use crate::names::LabelKey;
use crate::objects::HEALTH_CHECKS;
use crate::rule::Rule;
use crate::workload::Workload;

/// The API server's limit for the keys and values of all annotations of an object, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;
/// Bytes of that for the annotations that the provider and istiod write on an entry.
const ANNOTATIONS_OF_OTHERS: usize = 1024;
/// Maximum number of labels and of annotations in the CRDs.
const MOST: usize = 256;
/// Maximum number of ports of an entry in the CRD.
const MOST_PORTS: usize = 128;

pub(super) fn labels(workload: &Workload, problems: &mut Vec<Problem>) {
    if let Some(key) = workload
        .labels
        .keys()
        .find(|key| [WORKLOAD_LABEL, FLEET_LABEL].contains(&key.as_str()))
    {
        let text = format!(
            "The label {key} is written by the provider, so that services select exactly this VM. Remove it."
        );
        problems.push(problem(
            Rule::LabelIsOurs,
            &[&format!("labels.{key}")],
            text,
        ));
    }
    // Those of the provider are written, too: the mark, and the fleet of a member.
    let written = 1 + usize::from(workload.fleet.is_some());
    for (at, count, limit) in [
        ("labels", workload.labels.len(), MOST - written),
        ("ports", workload.ports.len(), MOST_PORTS),
    ] {
        if count > limit {
            let text = format!(
                "There are {count} {at}; a WorkloadEntry can have at most {limit}. Remove some."
            );
            problems.push(problem(Rule::TooMany, &[at], text));
        }
    }
}

pub(super) fn annotations(workload: &Workload, problems: &mut Vec<Problem>) {
    for key in workload.annotations.keys() {
        let refused = match key.parse::<LabelKey>() {
            Err(invalid) => Some((Rule::AnnotationKey, format!("{invalid}."))),
            Ok(_) => reserved(key).map(|why| {
                (
                    Rule::AnnotationReserved,
                    format!("The annotation {key} {why}"),
                )
            }),
        };
        if let Some((rule, text)) = refused {
            problems.push(problem(
                rule,
                &[&format!("annotations.{key}"), "annotations"],
                text,
            ));
        }
    }
    let size: usize = workload
        .annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    let limit = ANNOTATIONS_LIMIT - ANNOTATIONS_OF_OTHERS;
    if size > limit {
        let text = format!(
            "The annotations have {size} bytes; the API server accepts at most {limit} besides those of the provider \
             and of istiod. Shorten them."
        );
        problems.push(problem(Rule::AnnotationsSize, &["annotations"], text));
    }
}

/// Checks how many annotations a group has: only its definition limits their number.
pub(super) fn annotations_of_group(group: &Group, problems: &mut Vec<Problem>) {
    let count = group.annotations.len();
    if count > MOST {
        let text = format!(
            "There are {count} annotations; a WorkloadGroup can have at most {MOST}. Remove some."
        );
        problems.push(problem(Rule::TooMany, &["annotations"], text));
    }
}

fn reserved(key: &str) -> Option<&'static str> {
    match key {
        "istio.io/dry-run" => Some("is rejected by Istio on a WorkloadEntry. Remove it."),
        "proxy.istio.io/config" => {
            Some("has no effect on a WorkloadEntry. Set proxy.config instead.")
        }
        HEALTH_CHECKS => Some("is written by the provider. Set health_check instead."),
        _ if key.starts_with("istio.io/") => Some("is written by istiod itself. Remove it."),
        _ => None,
    }
}

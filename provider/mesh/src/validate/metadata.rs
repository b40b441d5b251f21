//! Rules of the labels, annotations and number of ports of an entry.

use super::problem::problem;
use crate::change::Problem;
use crate::mark::{FLEET_LABEL, WORKLOAD_LABEL};
use crate::names::LabelKey;
use crate::objects::HEALTH_CHECKS;
use crate::rule::Rule;
use crate::workload::Workload;

/// The API server's limit for the keys and values of all annotations of an object, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

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
    for (at, count, limit) in [
        ("labels", workload.labels.len(), 255),
        ("ports", workload.ports.len(), 128),
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
    // The provider's own annotation is one of them; its longest value is "false".
    let limit = ANNOTATIONS_LIMIT - HEALTH_CHECKS.len() - "false".len();
    if size > limit {
        let text = format!(
            "The annotations have {size} bytes; the API server accepts at most {limit} besides the provider's own. \
             Shorten them."
        );
        problems.push(problem(Rule::AnnotationsSize, &["annotations"], text));
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

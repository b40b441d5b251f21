//! The API server's verdict on objects, from a dry run.

use std::collections::BTreeSet;
use std::thread;

use acceptance_tests::{Result, Scenario};
use bed::Kubectl;
use mesh::desired::Manifest;
use mesh::workload::Workload;
use serde_json::{Value, json};

use super::edits::Edit;

/// Number of parallel kubectl processes.
const ASKING: usize = 6;

pub(super) struct Server<'a> {
    kubectl: &'a Kubectl,
    namespace: &'a str,
    base: Workload,
}

impl<'a> Server<'a> {
    pub(super) fn new(scenario: &'a Scenario) -> Result<Self> {
        Ok(Self {
            kubectl: scenario.kubectl(),
            namespace: &scenario.namespace,
            base: super::base(&scenario.namespace)?,
        })
    }

    /// Returns the workload of a case.
    pub(super) fn workload(&self, case: &[Edit]) -> Workload {
        let mut workload = self.base.clone();
        for edit in case {
            edit.apply(&mut workload);
        }
        workload
    }

    /// Returns for each case whether all of its objects are accepted.
    pub(super) fn accepts(&self, cases: &[Vec<Manifest>]) -> Result<Vec<bool>> {
        let mut chunks = vec![String::new(); ASKING];
        for (case, objects) in cases.iter().enumerate() {
            let documents = objects.iter().enumerate().map(|(at, object)| {
                format!(
                    "{}\n---\n",
                    self.whole(object, &format!("case-{case}-{at}"))
                )
            });
            chunks[case % ASKING].extend(documents);
        }
        let accepted: BTreeSet<String> = thread::scope(|scope| {
            let asked: Vec<_> = chunks
                .iter()
                .map(|chunk| scope.spawn(move || self.create(chunk)))
                .collect();
            let answers = asked.into_iter().map(|answer| match answer.join() {
                Ok(answer) => answer,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            answers.collect::<Result<Vec<_>>>()
        })?
        .into_iter()
        .flat_map(|(stdout, _)| names(&stdout))
        .collect();
        let all = |(case, objects): (usize, &Vec<Manifest>)| {
            (0..objects.len()).all(|at| accepted.contains(&format!("case-{case}-{at}")))
        };
        Ok(cases.iter().enumerate().map(all).collect())
    }

    /// Returns the server's messages about the objects of a case.
    pub(super) fn reason(&self, objects: &[Manifest]) -> Result<String> {
        let documents = objects
            .iter()
            .map(|of| format!("{}\n---\n", self.whole(of, "case")));
        let (_, stderr) = self.create(&documents.collect::<String>())?;
        Ok(if stderr.trim().is_empty() {
            "accepts it".to_owned()
        } else {
            stderr
        })
    }

    fn create(&self, documents: &str) -> Result<(String, String)> {
        let args = [
            "create",
            "--dry-run=server",
            "--validate=false",
            "--filename=-",
        ];
        let output = self.kubectl.run(&args, documents.as_bytes())?;
        Ok((output.stdout, output.stderr))
    }

    fn whole(&self, object: &Manifest, name: &str) -> Value {
        let mut whole = object.body.clone();
        whole["apiVersion"] = json!("networking.istio.io/v1");
        whole["kind"] = json!(object.kind.to_string());
        whole["metadata"]["name"] = json!(name);
        whole["metadata"]["namespace"] = json!(self.namespace);
        whole
    }
}

/// Parses lines such as `sidecar.networking.istio.io/case-1-2 created (server dry run)`.
fn names(stdout: &str) -> Vec<String> {
    let lines = stdout
        .lines()
        .filter_map(|line| line.split_once(" created"));
    let objects = lines.filter_map(|(object, _)| object.split_once('/'));
    objects.map(|(_, name)| name.to_owned()).collect()
}

//! An API server in memory: as much of one as fleets and workloads without a VM need, with faults between it and us.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contract::{Answer, Client, Diagnostic, Severity, State};
use serde_json::{Value as Json, json};

const ISTIO: &str = "/apis/networking.istio.io/v1/namespaces/bookinfo/";
pub(super) const NAMESPACE: &str = "/api/v1/namespaces/bookinfo";

/// What happens to a request.
pub(super) enum Fault {
    /// The server does nothing, and answers with this status; 0: it ends the connection.
    Refused(u16),
    /// The server does it, and the connection ends before its answer.
    Lost,
    /// The server does it, and something before it answers with 503 and asks to repeat the request.
    Unanswered,
    /// The credential lacks the permission.
    Forbidden,
}

/// A request: method, path without its query, and body.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    query: String,
    pub(super) body: Json,
}

type Faults = Box<dyn FnMut(&Asked, &mut Objects) -> Option<Fault> + Send>;

/// Objects by their path.
#[derive(Default)]
pub(super) struct Objects {
    all: BTreeMap<String, Json>,
    uids: u32,
}

/// A server, which runs until the process exits.
pub(super) struct ApiServer {
    url: String,
    objects: Arc<Mutex<Objects>>,
    faults: Arc<Mutex<Faults>>,
}

impl ApiServer {
    /// Starts a server with a control plane and the namespace `bookinfo`.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            objects: Arc::default(),
            faults: Arc::new(Mutex::new(Box::new(|_, _| None))),
        };
        for (path, data) in [
            (
                "/api/v1/namespaces/istio-system/configmaps/istio",
                json!({ "mesh": "{}" }),
            ),
            (
                "/api/v1/namespaces/istio-system/configmaps/istio-sidecar-injector",
                json!({ "values": "{}" }),
            ),
            (
                "/api/v1/namespaces/bookinfo/configmaps/istio-ca-root-cert",
                json!({ "root-cert.pem": "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n" }),
            ),
            (
                "/api/v1/namespaces/bookinfo/serviceaccounts/default",
                json!({}),
            ),
            (NAMESPACE, json!({})),
        ] {
            server.objects().put(path, json!({ "data": data }));
        }
        let (objects, faults) = (server.objects.clone(), server.faults.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (objects, faults) = (objects.clone(), faults.clone());
                let mut connection = connection.unwrap();
                std::thread::spawn(move || {
                    let asked = asked(&connection);
                    let mut objects = objects.lock().unwrap();
                    let fault = (faults.lock().unwrap())(&asked, &mut objects);
                    respond(&mut connection, &asked, fault, &mut objects);
                });
            }
        });
        server
    }

    /// Sets what happens to the requests from now on.
    pub(super) fn fail(
        &self,
        faults: impl FnMut(&Asked, &mut Objects) -> Option<Fault> + Send + 'static,
    ) {
        *self.faults.lock().unwrap() = Box::new(faults);
    }

    /// From now on, every request succeeds.
    pub(super) fn heal(&self) {
        self.fail(|_, _| None);
    }

    pub(super) fn objects(&self) -> std::sync::MutexGuard<'_, Objects> {
        self.objects.lock().unwrap()
    }

    /// Returns a process of the provider that is connected to the server.
    pub(super) async fn provider(&self) -> Client {
        super::provider(&json!({
            "kubernetes": { "host": self.url },
            "istio": { "control_plane_address": "10.0.0.10" },
        }))
        .await
    }
}

impl Objects {
    /// Puts an object at a path, as somebody else would.
    pub(super) fn put(&mut self, path: &str, mut object: Json) {
        self.uids += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.uids));
        object["metadata"]["resourceVersion"] = json!("1");
        object["metadata"]["name"] = json!(path.rsplit('/').next());
        object["metadata"]["namespace"] = json!("bookinfo");
        self.all.insert(path.to_owned(), object);
    }

    /// Puts an object of Istio's.
    pub(super) fn put_istio(&mut self, at: &str, object: Json) {
        self.put(&format!("{ISTIO}{at}"), object);
    }

    /// Removes an object of Istio's.
    pub(super) fn remove(&mut self, at: &str) {
        self.all.remove(&format!("{ISTIO}{at}")).unwrap();
    }

    /// Returns an object of Istio's.
    pub(super) fn get(&self, at: &str) -> Option<&Json> {
        self.all.get(&format!("{ISTIO}{at}"))
    }

    /// Returns `plural/name` of all objects of Istio's.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        let paths = self.all.keys().filter_map(|path| path.strip_prefix(ISTIO));
        paths.collect()
    }

    fn answer(&mut self, asked: &Asked) -> (u16, Json) {
        let path = asked.path.as_str();
        let is_list =
            path.starts_with("/apis/networking") && self.kind(path) && asked.method == "GET";
        if is_list {
            let below = |of: &&String| of.starts_with(&format!("{path}/"));
            let items: Vec<_> = self.all.iter().filter(|(of, _)| below(of)).collect();
            let items: Vec<_> = items.into_iter().map(|(_, object)| object).collect();
            return (200, json!({ "items": items }));
        }
        match asked.method.as_str() {
            "GET" => (),
            "POST" => return self.create(asked),
            "DELETE" => return self.delete(asked),
            _ if asked.query.contains("fieldValidation") => self.apply(asked),
            _ => self.merge(asked),
        }
        self.all
            .get(path)
            .map_or_else(|| absent(path), |object| (200, object.clone()))
    }

    /// Returns whether a path is that of a kind in a namespace, or in all of them.
    #[expect(clippy::unused_self, reason = "reads as a question to the server")]
    fn kind(&self, path: &str) -> bool {
        let last = path.rsplit('/').next().unwrap_or_default();
        [
            "workloadentries",
            "workloadgroups",
            "serviceentries",
            "sidecars",
        ]
        .contains(&last)
    }

    fn create(&mut self, asked: &Asked) -> (u16, Json) {
        if asked.path.ends_with("/token") {
            let claims = URL_SAFE_NO_PAD.encode(r#"{"aud":["istio-ca"]}"#);
            let until = "2030-01-01T00:00:00Z";
            let token =
                json!({ "token": format!("e30.{claims}.c2ln"), "expirationTimestamp": until });
            return (201, json!({ "status": token }));
        }
        let path = format!(
            "{}/{}",
            asked.path,
            asked.body["metadata"]["name"].as_str().unwrap()
        );
        if self.all.contains_key(&path) {
            return (
                409,
                json!({ "reason": "AlreadyExists", "message": "exists" }),
            );
        }
        let mut object = asked.body.clone();
        object["metadata"]["managedFields"] =
            json!([{ "manager": mesh::mark::CREATOR, "operation": "Update", "fieldsV1": {} }]);
        self.put(&path, object);
        (201, self.all[&path].clone())
    }

    fn delete(&mut self, asked: &Asked) -> (u16, Json) {
        let Some(object) = self.all.get(&asked.path) else {
            return absent(&asked.path);
        };
        let wanted = &asked.body["preconditions"]["uid"];
        if wanted.is_string() && *wanted != object["metadata"]["uid"] {
            return (409, json!({ "reason": "Conflict", "message": "uid" }));
        }
        self.all.remove(&asked.path);
        (200, json!({ "kind": "Status" }))
    }

    /// Server-side apply, without its conflicts.
    fn apply(&mut self, asked: &Asked) {
        if !self.all.contains_key(&asked.path) {
            self.put(&asked.path, json!({}));
        }
        let object = self.all.get_mut(&asked.path).unwrap();
        let is_applied = |of: &Json| of["operation"] == "Apply";
        let mut managers = object["metadata"]["managedFields"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if managers.iter().any(is_applied) {
            for key in ["labels", "annotations"] {
                object["metadata"][key] = json!({});
            }
            object["spec"] = json!({});
        } else {
            managers.push(
                json!({ "manager": mesh::mark::MANAGER, "operation": "Apply", "fieldsV1": {} }),
            );
        }
        merge(object, &asked.body);
        object["metadata"]["managedFields"] = managers.into();
    }

    fn merge(&mut self, asked: &Asked) {
        if let Some(object) = self.all.get_mut(&asked.path) {
            let mut patch = asked.body.clone();
            patch["metadata"]
                .as_object_mut()
                .map(|of| of.remove("resourceVersion"));
            merge(object, &patch);
        }
    }
}

/// RFC 7396.
fn merge(object: &mut Json, patch: &Json) {
    let Some(patch) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut object[key], value);
        }
    }
}

fn absent(path: &str) -> (u16, Json) {
    let name = path.rsplit('/').next();
    (
        404,
        json!({ "reason": "NotFound", "details": { "name": name } }),
    )
}

fn respond(connection: &mut TcpStream, asked: &Asked, fault: Option<Fault>, objects: &mut Objects) {
    let (status, body) = match fault {
        Some(Fault::Refused(0)) => return,
        Some(Fault::Refused(status)) => (status, json!({ "message": "a fault" })),
        Some(Fault::Forbidden) => (
            403,
            json!({ "reason": "Forbidden", "message": "it is forbidden: User \"u\" cannot do it" }),
        ),
        fault => match (fault, objects.answer(asked)) {
            (Some(Fault::Lost), _) => return,
            (Some(Fault::Unanswered), _) => (503, json!({ "message": "repeat it" })),
            (_, answer) => answer,
        },
    };
    let repeat = if status == 503 {
        "Retry-After: 0\r\n"
    } else {
        ""
    };
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} -\r\n{repeat}Connection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    // Who has given up does not read.
    let _ = connection.write_all((head + &body).as_bytes());
}

fn asked(connection: &TcpStream) -> Asked {
    let (method, target, body) = request(connection);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Asked {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        body,
    }
}

/// Reads a request: method, path with its query, and body.
pub(super) fn request(connection: &TcpStream) -> (String, String, Json) {
    let mut reader = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).unwrap();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = line.split(' ').map(str::to_owned);
    let body = serde_json::from_slice(&body).unwrap_or_default();
    (words.next().unwrap(), words.next().unwrap(), body)
}

/// A resource and the state that Terraform would keep.
pub(super) struct Kept {
    ty: &'static str,
    pub(super) config: Json,
    pub(super) state: Option<State>,
}

impl Kept {
    /// A fleet with one service and a group.
    pub(super) fn fleet() -> Self {
        Self {
            ty: "mesh_vm_fleet",
            config: json!({
                "namespace": "bookinfo",
                "name": "ratings",
                "services": super::usual()["services"],
                "sidecar": { "egress_hosts": ["./*"] },
                "timeouts": { "create": "20s", "update": "20s", "delete": "20s" },
            }),
            state: None,
        }
    }

    /// A workload of which only the objects are managed.
    pub(super) fn workload() -> Self {
        let mut config = super::usual();
        config["ssh"] = Json::Null;
        config["timeouts"] = json!({ "create": "20s", "update": "20s", "delete": "20s" });
        Self {
            ty: "mesh_vm_workload",
            config,
            state: None,
        }
    }

    pub(super) async fn import(&mut self, client: &Client, id: &str) -> Vec<Diagnostic> {
        let resource = client.resource(self.ty).unwrap();
        let imported = self.keep(resource.import(id).await.unwrap());
        [imported, self.refresh(client).await].concat()
    }

    pub(super) async fn refresh(&mut self, client: &Client) -> Vec<Diagnostic> {
        let Some(state) = self.state.clone() else {
            return vec![];
        };
        let resource = client.resource(self.ty).unwrap();
        self.keep(resource.read(&state).await.unwrap())
    }

    /// Refreshes, plans and applies.
    pub(super) async fn apply(&mut self, client: &Client) -> Vec<Diagnostic> {
        let refreshed = self.refresh(client).await;
        let resource = client.resource(self.ty).unwrap();
        let plan = resource.plan(self.state.as_ref(), &self.config).await;
        let plan = plan.unwrap();
        let (planned, plan) = (plan.diagnostics, plan.value);
        let applied = match plan {
            Some(plan) => self.keep(resource.apply(&plan, &self.config).await.unwrap()),
            None => vec![],
        };
        [refreshed, planned, applied].concat()
    }

    pub(super) async fn destroy(&mut self, client: &Client) -> Vec<Diagnostic> {
        let state = self.state.clone().unwrap();
        let resource = client.resource(self.ty).unwrap();
        self.keep(resource.destroy(&state).await.unwrap())
    }

    fn keep(&mut self, answer: Answer<State>) -> Vec<Diagnostic> {
        self.state = answer.value;
        answer.diagnostics
    }
}

/// Returns the texts of errors, or of warnings.
pub(super) fn texts(reported: &[Diagnostic], severity: Severity) -> String {
    let of = reported.iter().filter(|one| one.severity == severity);
    of.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

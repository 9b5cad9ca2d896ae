//! Who may call what: every method of the service with every kind of credentials.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay::api::pb;
use assay::api::pb::job_service_client::JobServiceClient;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use prost::Message;
use prost_types::FileDescriptorProto;
use serde_json::{Value, json};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1 as reflection;

use crate::server::{Server, sha256};
use crate::tenants::{CASES, MODEL, call, said, tokens};

/// An issuer of signed tokens.
pub(crate) struct Issuer(pub(crate) rcgen::KeyPair);

impl Issuer {
    /// The configuration of a service that takes its tokens.
    pub(crate) fn config(&self, folder: &Path) -> String {
        let path = folder.join("keys.json");
        // An uncompressed point: a byte, then both coordinates.
        let (x, y) = self.0.public_key_raw()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let set = json!({"keys": [{"kid": "1", "kty": "EC", "crv": "P-256", "x": x, "y": y}]});
        std::fs::write(&path, set.to_string()).unwrap();
        format!(
            "[auth.jwt]\njwks = \"{}\"\nissuer = \"https://issuer.example\"\naudience = \"assay\"\nalgorithms = [\"ES256\"]\n",
            path.display()
        )
    }

    fn claims(audience: &str, seconds: i64) -> Value {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        json!({"sub": "ada", "iss": "https://issuer.example", "aud": audience, "exp": now + seconds,
               "tenant": "vision", "role": ["operator", "runner"]})
    }

    fn header(algorithm: Algorithm) -> Header {
        Header { kid: Some("1".to_owned()), ..Header::new(algorithm) }
    }

    fn sign(&self, audience: &str, seconds: i64) -> String {
        let key = EncodingKey::from_ec_der(self.0.serialized_der());
        jsonwebtoken::encode(&Self::header(Algorithm::ES256), &Self::claims(audience, seconds), &key).unwrap()
    }

    /// Without a signature, as `none` has it.
    fn unsigned() -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(json!({"alg": "none", "kid": "1"})), part(Self::claims("assay", 600)))
    }

    /// Signed with what everybody knows, as if it were a secret.
    fn confused(&self) -> String {
        let key = EncodingKey::from_secret(self.0.public_key_pem().as_bytes());
        jsonwebtoken::encode(&Self::header(Algorithm::HS256), &Self::claims("assay", 600), &key).unwrap()
    }
}

/// A request whose only field, if any, is the name in its first.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// A method as its descriptor tells.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Method {
    path: String,
    /// Whether its request names a resource.
    named: bool,
}

impl Method {
    /// The role that its name asks for.
    fn needs(&self) -> &str {
        let (service, name) = self.path.split_once('/').unwrap();
        let looks = ["Get", "List", "Stream", "Read", "Inspect", "ServerReflection"];
        match service {
            "grpc.health.v1.Health" => "nothing",
            // Its names are not ours.
            "inference.GRPCInferenceService" if name != "ModelInfer" => "reader",
            _ if looks.iter().any(|verb| name.starts_with(verb)) => "reader",
            _ => "runner",
        }
    }

    /// What a request names, of what there is by words in the paths of methods.
    fn name(&self, resources: &[(&str, String)]) -> String {
        let found = resources.iter().find(|(word, _)| self.path.contains(word));
        found.filter(|_| self.named).map(|(_, name)| name.clone()).unwrap_or_default()
    }

    /// Whether what it names is a tenant's; the catalogue is everybody's.
    fn is_tenants(&self) -> bool {
        self.named && !self.path.contains("Catalog")
    }
}

/// Asks the service itself for its methods.
async fn methods(channel: &Channel, token: &str) -> BTreeSet<Method> {
    use reflection::server_reflection_request::MessageRequest;
    use reflection::server_reflection_response::MessageResponse;
    let ask = async |message: MessageRequest| {
        let request = reflection::ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let mut request = Request::new(tokio_stream::iter([request]));
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut client = reflection::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let mut answers = client.server_reflection_info(request).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(services) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("no services")
    };
    let mut methods = BTreeSet::new();
    for service in services.service {
        let asked = MessageRequest::FileContainingSymbol(service.name.clone());
        let MessageResponse::FileDescriptorResponse(files) = ask(asked).await else { panic!("no file") };
        for file in files.file_descriptor_proto {
            let file = FileDescriptorProto::decode(file.as_slice()).unwrap();
            let named = |of: &str| {
                let request = file.message_type.iter().find(|m| of == format!(".{}.{}", file.package(), m.name()));
                request.is_some_and(|m| m.field.iter().any(|f| f.name() == "name" && f.number() == 1))
            };
            for of in file.service.iter().filter(|of| service.name == format!("{}.{}", file.package(), of.name())) {
                let path = |method: &str| format!("{}/{method}", service.name);
                methods.extend(of.method.iter().map(|m| Method { path: path(m.name()), named: named(m.input_type()) }));
            }
        }
    }
    methods
}

/// How a call with one message ends, or begins to be answered.
async fn outcome(channel: &Channel, token: Option<&str>, path: &str, name: String) -> Code {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::iter([Named { name }]));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let path = format!("/{path}").parse().unwrap();
    let answered = async {
        let mut stream = client.streaming(request, path, ProstCodec::<Named, ()>::default()).await?.into_inner();
        stream.message().await
    };
    let answered = tokio::time::timeout(Duration::from_secs(20), answered).await.unwrap();
    answered.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// The name of an artifact of a job.
async fn artifact(channel: &Channel, job: &str) -> String {
    let mut request = Request::new(pb::ListArtifactsRequest { name: job.to_owned() });
    request.metadata_mut().insert("authorization", "Bearer reader".parse().unwrap());
    let answer = JobServiceClient::new(channel.clone()).list_artifacts(request).await.unwrap();
    answer.into_inner().artifacts.remove(0).name
}

/// What matters of a code; everything else was let through.
fn class(code: Code) -> &'static str {
    match code {
        Code::Unauthenticated => "who?",
        Code::PermissionDenied => "denied",
        Code::NotFound => "none",
        // A defect, or a method that is in the descriptor and nowhere else.
        Code::Internal | Code::Unknown | Code::Unimplemented | Code::DataLoss => "broken",
        _ => "through",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matrix_of_methods_and_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer(rcgen::KeyPair::generate().unwrap());
    let digest = sha256(b"ended");
    let ended = format!(
        "[[auth.token]]\nname = \"ended\"\ntenant = \"vision\"\nrole = \"admin\"\nsha256 = \"{digest}\"\nexpires = 2020-01-01\n"
    );
    let server = Server::configured(folder.path(), "1", &[tokens(), ended, issuer.config(folder.path())].concat());
    let run = |args: &[&str]| said(&call(&server.address, "runner", args));
    let (model, suite) = (run(&["model", "push", MODEL]), run(&["suite", "push", CASES]));
    let args = ["job", "submit", "--model", &model, "--suite", &suite, "--check", "clean", "--limit", "9"];
    let job = run(&[&args[..], &["--keep-artifacts"]].concat());
    run(&["job", "watch", &job]);
    let channel = server.channel().await;
    let resources = [
        ("ReadArtifact", artifact(&channel, &job).await),
        ("ModelService", model.clone()),
        ("GRPCInferenceService", model.clone()),
        ("SuiteService", suite),
        ("JobService", job),
        ("CatalogService", "clean".to_owned()),
    ];

    let columns = [
        ("nobody", None),
        ("unknown", Some("no such token".to_owned())),
        ("ended", Some("ended".to_owned())),
        ("reader", Some("reader".to_owned())),
        ("runner", Some("runner".to_owned())),
        ("admin", Some("admin".to_owned())),
        ("other", Some("other".to_owned())),
        ("jwt aud", Some(issuer.sign("another", 600))),
        ("jwt exp", Some(issuer.sign("assay", -600))),
        ("jwt none", Some(Issuer::unsigned())),
        ("jwt hmac", Some(issuer.confused())),
        ("jwt", Some(issuer.sign("assay", 600))),
    ];
    let methods = methods(&channel, "reader").await;
    let known: BTreeSet<String> = methods.iter().map(|method| method.path.clone()).collect();
    assert!(assay::api::methods().unwrap().iter().all(|path| known.contains(path)), "{known:?}");
    println!("{:58}{}", "", columns.iter().map(|(name, _)| format!("{name:9}")).collect::<String>());
    let mut wrong = Vec::new();
    for method in &methods {
        print!("{:58}", method.path);
        for (column, token) in &columns {
            // Those who look see what strangers do not; what others could delete they are not asked for.
            let names = matches!(*column, "reader" | "other");
            let name = if names { method.name(&resources) } else { String::new() };
            let found = match class(outcome(&channel, token.as_deref(), &method.path, name).await) {
                "none" if !names => "through",
                found => found,
            };
            let expected = match (*column, method.needs()) {
                (_, "nothing") => "through",
                ("nobody" | "unknown" | "ended" | "jwt aud" | "jwt exp" | "jwt none" | "jwt hmac", _) => "who?",
                ("reader", "runner") => "denied",
                ("other", _) if method.is_tenants() => "none",
                _ => "through",
            };
            print!("{found:9}");
            if found != expected {
                wrong.push(format!("{} as {column}: {found}, {expected} was expected", method.path));
            }
        }
        println!();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nobody has deleted anything.
    assert!(said(&call(&server.address, "reader", &["model", "list"])).contains(&model));
}

//! Who may call what: every method of the service with every kind of credentials, and tenants beside one another.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
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

use crate::cli::stderr;
use crate::server::{Server, sha256};

const MODEL: &str = "tests/models/mnist_cnn.onnx";
const CASES: &str = "tests/data/mnist_test.npz";

/// Tokens by name, tenant and role. A token is its name.
const TOKENS: [(&str, &str, &str); 4] = [
    ("reader", "vision", "reader"),
    ("runner", "vision", "runner"),
    ("admin", "vision", "admin"),
    ("other", "audio", "admin"),
];

/// The lines by which a service knows the tokens.
pub(crate) fn tokens() -> String {
    let line = |(name, tenant, role): &(&str, &str, &str)| {
        let digest = sha256(name.as_bytes());
        format!("[[auth.token]]\nname = \"{name}\"\ntenant = \"{tenant}\"\nrole = \"{role}\"\nsha256 = \"{digest}\"\n")
    };
    TOKENS.iter().map(line).collect()
}

/// Runs the program on a service, with a token.
pub(crate) fn call(server: &str, token: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command.args(args).args(["--server", server]).env("ASSAY_TOKEN", token);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

/// What the program prints if it succeeds.
pub(crate) fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// An issuer of signed tokens.
struct Issuer(rcgen::KeyPair);

impl Issuer {
    /// The configuration of a service that takes its tokens.
    fn config(&self, folder: &Path) -> String {
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

#[tokio::test(flavor = "multi_thread")]
async fn tenants_see_nothing_of_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.jsonl");
    let config = format!("[auth]\naudit_log = \"{}\"\n{}", log.display(), tokens());
    let server = Server::configured(folder.path(), "1", &config);
    let run = |token: &str, args: &[&str]| call(&server.address, token, args);
    let push = |token: &str| {
        let (model, suite) =
            (said(&run(token, &["model", "push", MODEL])), said(&run(token, &["suite", "push", CASES])));
        let args = ["job", "submit", "--model", &model, "--suite", &suite, "--check", "clean", "--limit", "5"];
        let job = said(&run(token, &args));
        said(&run(token, &["job", "watch", &job]));
        [("model", model), ("suite", suite), ("job", job)]
    };
    let (vision, audio) = (push("runner"), push("other"));
    for ((kind, own), (_, others)) in vision.iter().zip(&audio) {
        assert!(own.starts_with("tenants/vision/") && others.starts_with("tenants/audio/"));
        let (seen, theirs) = (said(&run("reader", &[kind, "list"])), said(&run("other", &[kind, "list"])));
        assert!(seen.contains(own) && !seen.contains("audio") && theirs.contains(others) && !theirs.contains("vision"));
        let refused = run("admin", &[kind, "delete", others]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(stderr(&refused).contains("not found"), "{}", stderr(&refused));
    }
    let args = ["job", "submit", "--model", &audio[0].1, "--suite", &vision[1].1, "--check", "clean"];
    assert!(stderr(&run("runner", &args)).contains("not found"));
    let refused = run("reader", &["model", "delete", &vision[0].1]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("this needs the role runner; `reader` has reader"), "{}", stderr(&refused));

    // The same files are two models and suites, and one of each stays when the other goes.
    for kind in [2, 0, 1] {
        said(&run("other", &[audio[kind].0, "delete", &audio[kind].1]));
    }
    assert!(said(&run("runner", &["model", "inspect", &vision[0].1])).contains("Conv"));
    let args = ["job", "submit", "--model", &vision[0].1, "--suite", &vision[1].1, "--check", "clean", "--seed", "7"];
    said(&run("runner", &["job", "watch", &said(&run("runner", &args))]));

    let lines = std::fs::read_to_string(log).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |name: &str, method: &str, code: &str| {
        let method = format!("assay.v1.{method}");
        let found = lines.iter().find(|l| l["name"] == name && l["method"] == method.as_str() && l["code"] == code);
        found.unwrap_or_else(|| panic!("{name} {method} {code}: {lines:?}"))["resource"].clone()
    };
    assert_eq!(find("runner", "ModelService/UploadModel", "OK"), vision[0].1.as_str());
    assert_eq!(find("runner", "JobService/CreateJob", "OK"), vision[2].1.as_str());
    assert_eq!(find("other", "SuiteService/DeleteSuite", "OK"), audio[1].1.as_str());
    assert_eq!(find("admin", "ModelService/DeleteModel", "NOT_FOUND"), audio[0].1.as_str());
    assert_eq!(find("reader", "ModelService/DeleteModel", "PERMISSION_DENIED"), Value::Null);
    assert!(lines.iter().all(|l| !l["method"].as_str().unwrap().contains("List")), "{lines:?}");
}

/// `assay serve` with a configuration, which ends by itself; `None` if it goes on.
fn serve(folder: &Path, config: &str, extra: &[&str]) -> Option<Output> {
    let file = folder.join("config.toml");
    std::fs::write(&file, config).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["serve", "--engine", "memory", "--slots", "1", "--config", file.to_str().unwrap()])
        .args(extra)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..30 {
        if child.try_wait().unwrap().is_some() {
            return Some(child.wait_with_output().unwrap());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn beyond_loopback_nothing_is_open_unless_it_is_told_to_be() {
    let folder = tempfile::tempdir().unwrap();
    for (config, extra, expect) in [
        ("", &["--listen", "0.0.0.0:0"][..], "listen: `0.0.0.0:0` is beyond loopback"),
        ("listen = \"[::]:0\"", &[], "assay token create"),
        (&tokens(), &["--listen", "0.0.0.0:0"], "tokens would pass in the clear"),
        ("", &["--listen", "127.0.0.1:0", "--console", "0.0.0.0:0"], "console: `0.0.0.0:0` is beyond loopback"),
    ] {
        let ended = serve(folder.path(), config, extra).unwrap();
        assert_eq!(ended.status.code(), Some(2));
        assert!(stderr(&ended).contains(expect) && stderr(&ended).contains("--insecure"), "{}", stderr(&ended));
    }
    for config in ["", &tokens()] {
        let extra = ["--listen", "0.0.0.0:0", "--console", "0.0.0.0:0", "--insecure"];
        assert!(serve(folder.path(), config, &extra).is_none());
    }
}

#[test]
fn what_cannot_be_safe_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = Issuer(rcgen::KeyPair::generate().unwrap()).config(folder.path());
    for (config, expect) in [
        (issuer.replace("ES256", "HS256"), "auth.jwt.algorithms[0]: `HS256` was found"),
        (issuer.replace("ES256", "RS256"), "auth.jwt.jwks: there is no key"),
        (issuer.replace("\"assay\"", "\"\""), "auth.jwt.audience: is empty"),
        (issuer.replace("keys.json", "nowhere.json"), "auth.jwt.jwks: "),
        ([tokens(), tokens()].concat(), "auth.token[4].sha256: "),
        (
            "[[auth.client]]\nsan = \"a\"\ntenant = \"b\"\nrole = \"admin\"".to_owned(),
            "auth.client: each needs the other",
        ),
        ("[auth]\naudit_log = \"/nowhere/log\"".to_owned(), "auth.audit_log: /nowhere/log"),
    ] {
        let ended = serve(folder.path(), &config, &["--listen", "127.0.0.1:0"]).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{config}");
        assert!(stderr(&ended).contains(expect), "{}", stderr(&ended));
    }
    let unsent = call("http://192.0.2.1:1", "token", &["model", "list"]);
    assert_eq!(unsent.status.code(), Some(2));
    assert!(stderr(&unsent).contains("the token would pass in the clear"), "{}", stderr(&unsent));
}

#[test]
fn a_token_is_made_and_its_lines_are_all_that_a_service_needs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("ci.token");
    let args = ["token", "create", "--name", "ci", "--tenant", "vision", "--role", "runner", "--expires", "2999-01-31"];
    let make = || crate::cli::assay(&[&args[..], &["--out", out.to_str().unwrap()]].concat());
    let made = make();
    let (lines, token) = (said(&made), std::fs::read_to_string(&out).unwrap());
    assert!(made.stderr.is_empty() && token.starts_with("assay_") && !lines.contains(token.trim()));
    let server = Server::configured(folder.path(), "1", &lines);
    said(&call(&server.address, &token, &["model", "list"]));
    let refused = call(&server.address, "assay_another", &["model", "list"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("the token is not known or has expired"), "{}", stderr(&refused));
    // A token is never written over another.
    assert_eq!(make().status.code(), Some(2));
    let shown = crate::cli::assay(&args);
    assert!(stderr(&shown).contains("assay_") && !said(&shown).contains("assay_"));
}

//! TLS on the service's port: whom to trust on both sides, and certificates that change while it runs.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

use crate::cli::stderr;
use crate::server::Server;
use crate::tenants::{call, said, tokens};

/// Longer than a server goes without looking at its files.
const CHANGE: Duration = Duration::from_millis(2500);

/// An authority; its certificate is in a file.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(file: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(file, issuer.pem()).unwrap();
        Self(issuer)
    }

    /// Writes a certificate and its key.
    pub(crate) fn issue(&self, name: SanType, certificate: &Path, key: &Path) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        let pair = KeyPair::generate().unwrap();
        std::fs::write(certificate, params.signed_by(&pair, &self.0).unwrap().pem()).unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
    }
}

pub(crate) fn here() -> SanType {
    SanType::IpAddress([127, 0, 0, 1].into())
}

/// `assay model list` over TLS.
fn list(server: &Server, ca: &Path, token: Option<&str>, extra: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command.args(["model", "list", "--server", &format!("https://{}", server.address), "--ca"]).arg(ca).args(extra);
    token.map(|token| command.env("ASSAY_TOKEN", token));
    command.output().unwrap()
}

#[test]
fn certificates_change_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (old, new) = (Authority::new(&at("old.pem")), Authority::new(&at("new.pem")));
    let (certificate, key) = (at("server.pem"), at("server.key"));
    old.issue(here(), &certificate, &key);
    let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    let server = Server::configured(folder.path(), "1", &[tls, tokens()].concat());
    said(&list(&server, &at("old.pem"), Some("reader"), &[]));
    let untrusted = list(&server, &at("new.pem"), Some("reader"), &[]);
    assert_eq!(untrusted.status.code(), Some(3));
    assert!(stderr(&untrusted).contains("invalid peer certificate"), "{}", stderr(&untrusted));
    let nobody = list(&server, &at("old.pem"), None, &[]);
    assert!(stderr(&nobody).contains("no credentials"), "{}", stderr(&nobody));
    let plain = call(&format!("http://{}", server.address), "reader", &["model", "list"]);
    assert_eq!(plain.status.code(), Some(3));
    // Those who connect and say nothing hold nobody up.
    let _silent: Vec<_> = (0..50).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    said(&list(&server, &at("old.pem"), Some("reader"), &[]));
    // What is wrong changes nothing.
    std::fs::write(&key, "-----BEGIN").unwrap();
    std::thread::sleep(CHANGE);
    said(&list(&server, &at("old.pem"), Some("reader"), &[]));
    new.issue(here(), &certificate, &key);
    std::thread::sleep(CHANGE);
    said(&list(&server, &at("new.pem"), Some("reader"), &[]));
    assert_eq!(list(&server, &at("old.pem"), Some("reader"), &[]).status.code(), Some(3));
}

#[test]
fn a_certificate_says_who_calls() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = |name: &str| at(name).display().to_string();
    let (own, clients) = (Authority::new(&at("ca.pem")), Authority::new(&at("clients.pem")));
    own.issue(here(), &at("server.pem"), &at("server.key"));
    let uri = |uri: &str| SanType::URI(uri.try_into().unwrap());
    clients.issue(uri("spiffe://example/ci"), &at("ci.pem"), &at("ci.key"));
    clients.issue(uri("spiffe://example/else"), &at("else.pem"), &at("else.key"));
    own.issue(uri("spiffe://example/ci"), &at("forged.pem"), &at("forged.key"));
    let config = format!(
        "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n{}\
         [[auth.client]]\nsan = \"spiffe://example/ci\"\ntenant = \"fleet\"\nrole = \"runner\"\n",
        text("server.pem"),
        text("server.key"),
        text("clients.pem"),
        tokens()
    );
    let server = Server::configured(folder.path(), "1", &config);
    let with = |name: &str, token: Option<&str>, args: &[&str]| {
        let (certificate, key) = (text(&format!("{name}.pem")), text(&format!("{name}.key")));
        let extra = ["--client-certificate", &certificate, "--client-key", &key];
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command
            .args(args)
            .args(["--server", &format!("https://{}", server.address), "--ca", &text("ca.pem")])
            .args(extra);
        token.map(|token| command.env("ASSAY_TOKEN", token));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
    };
    let push = ["model", "push", "tests/models/mnist_cnn.onnx"];
    assert!(said(&with("ci", None, &push)).starts_with("tenants/fleet/models/"));
    let unknown = with("else", None, &push);
    assert!(stderr(&unknown).contains("the client's certificate is not known"), "{}", stderr(&unknown));
    // One that another authority signed does not even come to be asked.
    assert_eq!(with("forged", None, &["model", "list"]).status.code(), Some(3));
    let nobody = list(&server, &at("ca.pem"), None, &[]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(stderr(&nobody).contains("no credentials"), "{}", stderr(&nobody));
    // A token comes before a certificate, whether it is sound or not.
    assert!(said(&with("ci", Some("runner"), &push)).starts_with("tenants/vision/models/"));
    assert_eq!(with("ci", Some("wrong"), &push).status.code(), Some(2));
}

//! Tokens from their making to what their tenants see, and what a service refuses to be.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::access::Issuer;
use crate::cli::stderr;
use crate::server::{Server, sha256};

pub(crate) const MODEL: &str = "tests/models/mnist_cnn.onnx";
pub(crate) const CASES: &str = "tests/data/mnist_test.npz";

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

//! Servers that know their users by JWTs of an operator and an account, and the credentials files that such users have.

use assay::Error;
use assay::lab::engines::{Engine, Expect, nats};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::nats::{Nats, SILENCE};

/// What an issuer says of a key, as `nsc` signs it.
fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let body = json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name, "sub": subject.public_key(), "nats": claims,
    });
    let signed = format!("{}.{}", part(&header), part(&body));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What a user keeps in a file.
fn credentials(account: &KeyPair) -> String {
    let user = KeyPair::new_user();
    let claims = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let (jwt, seed) = (jwt(account, &user, "assay", &claims), user.seed().unwrap());
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

async fn open(url: &str, credentials: Option<&std::path::Path>) -> assay::Result<Engine> {
    let settings =
        nats::Settings { replicas: 1, credentials: credentials.map(Into::into), ..nats::Settings::default() };
    nats::open(url, &settings, &[], SILENCE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_credentials_is_let_in() {
    let (operator, account, other) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let account_of = |streams: Value| {
        let mut limits = json!({ "subs": -1, "data": -1, "payload": -1, "wildcards": true, "conn": -1, "leaf": -1 });
        limits.as_object_mut().unwrap().extend(streams.as_object().unwrap().clone());
        json!({ "type": "account", "version": 2, "limits": limits })
    };
    let streams = json!({ "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1 });
    let of = |key: &KeyPair, name: &str, claims: Value| jwt(&operator, key, name, &claims);
    let trusted = of(&operator, "operator", json!({ "type": "operator", "version": 2 }));
    let known = of(&account, "assay", account_of(streams));
    let id = account.public_key();
    // Where there is an operator, JetStream wants an account for the servers themselves, which has no streams.
    let system = KeyPair::new_account();
    let own = of(&system, "SYS", account_of(json!({})));
    let more = format!(
        "operator: \"{trusted}\"\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {id}: \"{known}\", {}: \"{own}\" }}",
        system.public_key(),
        system.public_key()
    );
    let Some(nats) = Nats::with(1, &more) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (own, strange) = (folder.path().join("assay.creds"), folder.path().join("other.creds"));
    std::fs::write(&own, credentials(&account)).unwrap();
    std::fs::write(&strange, credentials(&other)).unwrap();
    let begin = std::time::Instant::now();
    let engine = loop {
        match open(&nats.url(), Some(&own)).await {
            Ok(engine) => break engine,
            Err(error) if begin.elapsed() > SILENCE * 15 => panic!("{error}"),
            Err(_) => tokio::time::sleep(SILENCE / 40).await,
        }
    };
    engine.meta.put("a", b"1", Expect::Absent).await.unwrap();
    for wrong in [None, Some(strange.as_path())] {
        let error = open(&nats.url(), wrong).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("authorization violation"), "{error}");
    }
    // What is no such file is said before anybody is asked.
    std::fs::write(&own, "assay").unwrap();
    let error = open(&nats.url(), Some(&own)).await.map(|_| ()).unwrap_err();
    assert!(matches!(&error, Error::Invalid(_)) && error.to_string().contains("assay.creds"), "{error}");
}

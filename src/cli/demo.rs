//! `assay demo`: the whole way over a real socket, on data that is built in.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::args::{Ask, Demo, Show};
use super::client::Client;
use super::{Ended, run, serve};
use crate::data;
use crate::error::{Error, Result};

/// A convolutional network of the field's usual shape, and 1500 digits it was not trained on.
const MODEL: &[u8] = include_bytes!("../../tests/models/mnist_cnn.onnx");
const DIGITS: &[u8] = include_bytes!("../../tests/data/mnist_test.npz");

/// Runs the command.
pub(super) async fn demo(args: &Demo) -> Result<Ended> {
    let failed = |e: &dyn std::fmt::Display| Error::internal("starting the service", e);
    let program = std::env::current_exe().map_err(|e| failed(&e))?;
    let slots = serve::slots(args.slots).to_string();
    let mut service = Command::new(program)
        .args(["serve", "--listen", "127.0.0.1:0", "--engine", "memory", "--slots", &slots])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(&e))?;
    let stderr = service.stderr.take().ok_or_else(|| failed(&"no stderr"))?;
    let mut lines = BufReader::new(stderr).lines();
    let address = loop {
        let line = lines.next_line().await.map_err(|e| failed(&e))?.ok_or_else(|| failed(&"it ended"))?;
        if let Some(address) = line.strip_prefix("listening on ") {
            break address.to_owned();
        }
    };
    eprintln!("a service listens on {address}; uploading a model and 1500 handwritten digits");
    let mut client = Client::connect(Some(&address), 0).await?;
    let signature = "input: {range: [0, 1]}\noutput: {kind: logits}".to_owned();
    let model = client.upload_model(MODEL.to_vec(), "mnist_cnn", signature).await?;
    let suite = client.upload_suite(data::read_npz(DIGITS)?, "MNIST test digits", &[], &[]).await?;
    let text = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    let ask = Ask {
        checks: text(&["clean", "gaussian_noise", "motion_blur", "jpeg_compression"]),
        gates: text(&["clean.accuracy >= 0.97", "motion_blur.mean_accuracy >= 0.9"]),
        seed: None,
        limit: None,
        baseline: None,
        pool: None,
        background: None,
    };
    let job = run::create(&mut client, &model.name, &suite.name, &ask, true, "", false).await?;
    let show = Show { output: None, report: Some(args.report.clone()), artifacts: None };
    run::show(&mut client, &job, &show, None).await?;
    let end = nix::unistd::Pid::from_raw(i32::try_from(service.id().unwrap_or_default()).unwrap_or(0));
    // The service may have ended by itself; then there is nothing to end.
    let _ = nix::sys::signal::kill(end, nix::sys::signal::Signal::SIGTERM);
    let _ = tokio::time::timeout(std::time::Duration::from_secs(3), service.wait()).await;
    // A failed gate belongs to what is shown; the demo itself went well.
    Ok(Ended::Passed)
}

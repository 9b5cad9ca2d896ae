//! Models that are elsewhere, behind the Open Inference Protocol. Slots have no network: they put their questions to the
//! pool, and this is where the pool takes them. So one place says who may be asked, meters, limits, retries and checks.

mod allow;
mod describe;
mod endpoint;
mod link;
mod settings;
pub mod tensors;

/// Generated from `proto/inference`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines, clippy::unwrap_used, clippy::expect_used)]
pub mod inference {
    tonic::include_proto!("inference");
}

pub(super) use self::describe::Description;
pub use self::endpoint::RemoteModel;
pub use self::settings::{Entry, Settings};

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{counter, histogram};
use tokio::time::Instant;

use self::endpoint::Endpoint;
use self::inference::ModelInferRequest;
use self::link::{Link, Trouble};
use self::settings::Rules;
use super::meters::{REMOTE_ROWS, REMOTE_TIME};
use crate::engine::Question;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Endpoints that are known beyond which those that nobody asks now are forgotten.
const LINKS_MAX: usize = 1000;

/// The endpoints of a laboratory; by default none may be asked.
#[derive(Default)]
pub struct Remotes {
    policy: Arc<Policy>,
    /// By endpoint: its connection and limits, which all jobs share.
    links: Mutex<HashMap<(bool, String), Arc<Link>>>,
}

/// What holds for every endpoint.
#[derive(Default)]
struct Policy {
    settings: Settings,
    rules: Rules,
    /// Longest message, in bytes.
    longest: usize,
}

impl Remotes {
    /// Reads the rules and the files that they name. A question or an answer has `longest` bytes at most.
    pub fn new(settings: Settings, longest: u64) -> Result<Self> {
        let (rules, longest) = (settings.rules()?, usize::try_from(longest).unwrap_or(usize::MAX));
        Ok(Self { policy: Arc::new(Policy { settings, rules, longest }), links: Mutex::default() })
    }

    /// A model of an endpoint, whose name and port some rule allows. Nobody is asked yet.
    pub(super) fn remote(&self, model: &RemoteModel) -> Result<Remote> {
        let endpoint = Endpoint::parse(&model.endpoint)?;
        if !self.policy.rules.may_allow(&endpoint) {
            return Err(Rules::refusal(&endpoint));
        }
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.len() >= LINKS_MAX {
            links.retain(|_, link| Arc::strong_count(link) > 1);
        }
        let made = || Arc::new(Link::new(endpoint.clone(), self.policy.clone()));
        let link = links.entry((endpoint.secure, endpoint.to_string())).or_insert_with(made).clone();
        Ok(Remote { link, model: model.clone() })
    }
}

/// A model elsewhere, as the laboratory asks it.
pub(super) struct Remote {
    link: Arc<Link>,
    model: RemoteModel,
}

impl Remote {
    /// Answers a slot's question. What is wrong with the answer, and an endpoint that was away for too long, is the
    /// slot's to hear. Fails with [`Error::Unavailable`] while the endpoint may come back: then the slot's work is to be
    /// begun anew later.
    pub(super) async fn answer(&self, question: Question) -> Result<Result<Tensor>> {
        // What a slot says of its rows is bounded by what it sends.
        let most = question.inputs.values().filter_map(|tensor| tensor.shape().first()).max().copied().unwrap_or(1);
        let rows = question.rows.unwrap_or(1).clamp(1, most.max(1));
        let began = Instant::now();
        let answer = self.infer(&question, rows).await;
        let rows = rows as u64;
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(Trouble::Refused(_)) => "refused",
            Err(Trouble::Away(_)) => "away",
        };
        counter!(REMOTE_ROWS, "outcome" => outcome).increment(rows);
        histogram!(REMOTE_TIME, "outcome" => outcome).record(began.elapsed());
        match answer {
            Ok(tensor) => Ok(Ok(tensor)),
            Err(Trouble::Refused(error)) => Ok(Err(error)),
            Err(Trouble::Away(why)) => match self.link.given_up() {
                None => Err(Error::Unavailable(why)),
                Some(limit) => {
                    Ok(Err(Error::Unavailable(format!("{why}, for more than remote.away_seconds = {limit}"))))
                }
            },
        }
    }

    async fn infer(&self, question: &Question, rows: usize) -> std::result::Result<Tensor, Trouble> {
        let bytes: usize = question.inputs.values().map(|tensor| tensor.len() * tensor.dtype().size()).sum();
        let longest = self.link.longest();
        if bytes > longest {
            let (limit, value) = ("message_bytes".to_owned(), longest as u64);
            let what = "the length of a question to an endpoint".to_owned();
            return Err(Error::Exhausted { limit, value, what }.into());
        }
        let inputs = question.inputs.iter();
        let (inputs, raw) = inputs.map(|(name, tensor)| tensors::input(name, tensor)).collect::<Result<_>>()?;
        let request = ModelInferRequest {
            model_name: self.model.model.clone(),
            model_version: self.model.version.clone(),
            inputs,
            outputs: vec![tensors::wanted(&question.output)],
            raw_input_contents: raw,
            ..ModelInferRequest::default()
        };
        let ask = |mut client: link::Client| {
            let request = request.clone();
            async move { client.model_infer(request).await }
        };
        let response = self.link.call(rows, ask).await?;
        Ok(tensors::answer(response, question).map_err(|e| e.under("remote"))?)
    }
}

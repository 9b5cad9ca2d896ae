//! The layer that stands before every method.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, Request, Response};
use tonic::body::Body;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::audit::{Audit, Record, Shared};
use super::certificates::Clients;
use super::jwt::Jwt;
use super::tokens::Tokens;
use super::{Identity, Settings, roles};
use crate::error::{Error, Result};

type Secured = TlsConnectInfo<TcpConnectInfo>;

/// Puts [`Guarded`] around a service.
#[derive(Clone)]
pub struct Access(Arc<Gate>);

impl Access {
    /// Reads what the settings name, such as the keys of an issuer. Within a runtime.
    pub async fn new(settings: Settings) -> Result<Self> {
        let (open, audit) = (!settings.is_on(), Audit::new(settings.audit_log.as_deref())?);
        let jwt = match settings.jwt {
            Some(jwt) => Some(Jwt::new(jwt).await?),
            None => None,
        };
        let (tokens, clients) = (Tokens::new(settings.token)?, Clients::new(settings.client)?);
        Ok(Self(Arc::new(Gate { open, tokens, jwt, clients, audit: Arc::new(audit) })))
    }
}

impl<S> Layer<S> for Access {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, gate: self.0.clone() }
    }
}

/// Lets through to the service within what its caller may do, with the [`Identity`] among the request's extensions.
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The one that is ready goes along; its copy will have to become so.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let gate = self.gate.clone();
        Box::pin(async move {
            match gate.admit(&mut request).await {
                Ok(None) => inner.call(request).await,
                Ok(Some(record)) => {
                    let request = request.map(|body| record.request(body));
                    Ok(record.response(inner.call(request).await?))
                }
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}

/// What stands before a service.
struct Gate {
    /// Nobody is asked for credentials.
    open: bool,
    tokens: Tokens,
    jwt: Option<Jwt>,
    clients: Clients,
    audit: Arc<Audit>,
}

impl Gate {
    /// Finds out who calls, and puts it into the request. Gives a record of what will change something.
    async fn admit(&self, request: &mut Request<Body>) -> Result<Option<Shared>> {
        let method = request.uri().path().trim_start_matches('/');
        let (method, needed) = roles::listed(method);
        let Some(needed) = needed else { return Ok(None) };
        let peer = peer(request.extensions());
        let record = |identity: Option<&Identity>| Record::new(&self.audit, method, peer, identity.cloned());
        let identity = self.identify(request.headers(), request.extensions()).await;
        let identity = identity.inspect_err(|error| record(None).refused(code(error)))?;
        if identity.role < needed {
            record(Some(&identity)).refused(Code::PermissionDenied);
            let Identity { name, role, .. } = identity;
            return Err(Error::Denied(format!("this needs the role {needed}; `{name}` has {role}")));
        }
        let record = roles::changes(method, needed).then(|| Shared::new(record(Some(&identity))));
        request.extensions_mut().insert(identity);
        Ok(record)
    }

    /// Who calls, by a token if there is one, otherwise by a certificate. A token that is not sound is not made up for by a
    /// certificate: its bearer means to be somebody else.
    async fn identify(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<Identity> {
        if self.open {
            return Ok(Identity::anyone());
        }
        if let Some(header) = headers.get(AUTHORIZATION) {
            let token = header.to_str().ok().and_then(bearer).ok_or_else(|| {
                Error::Unauthenticated(
                    "the credentials cannot be read; `authorization: Bearer TOKEN` was expected".to_owned(),
                )
            })?;
            let unknown = || Error::Unauthenticated("the token is not known or has expired".to_owned());
            return match (self.tokens.find(token), &self.jwt) {
                (Some(identity), _) => Ok(identity.clone()),
                (None, Some(jwt)) => jwt.find(token).await?.ok_or_else(unknown),
                (None, None) => Err(unknown()),
            };
        }
        let certificates = extensions.get::<Secured>().and_then(TlsConnectInfo::peer_certs);
        let Some(certificate) = certificates.as_ref().and_then(|chain| chain.first()) else {
            let message = "no credentials; `authorization: Bearer TOKEN` or a client's certificate was expected";
            return Err(Error::Unauthenticated(message.to_owned()));
        };
        let unknown = || Error::Unauthenticated("the client's certificate is not known".to_owned());
        self.clients.find(certificate).cloned().ok_or_else(unknown)
    }
}

/// The token in a header; the scheme's case does not matter.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let plain = extensions.get::<TcpConnectInfo>();
    plain.or_else(|| extensions.get::<Secured>().map(TlsConnectInfo::get_ref))?.remote_addr()
}

fn code(error: &Error) -> Code {
    Status::from(error.clone()).code()
}

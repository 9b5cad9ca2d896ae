//! CatalogService.

use tonic::Request;

use super::convert::map_to_struct;
use super::pb::{self, catalog_service_server::CatalogService};
use super::{Reply, Service};
use crate::error::{Error, nearest};
use crate::probe::{Access, Manual, manual, manuals};

#[tonic::async_trait]
impl CatalogService for Service {
    async fn list_probes(&self, request: Request<pb::ListProbesRequest>) -> Reply<pb::ListProbesResponse> {
        let family = &request.get_ref().family;
        let probes = manuals().filter(|m| family.is_empty() || m.family == family).map(probe).collect();
        Ok(pb::ListProbesResponse { probes }.into())
    }

    async fn get_probe(&self, request: Request<pb::GetProbeRequest>) -> Reply<pb::Probe> {
        let name = &request.get_ref().name;
        let found = manual(name).ok_or_else(|| {
            let hint =
                nearest(name, manuals().map(|m| m.name)).map_or(String::new(), |n| format!(" (did you mean {n}?)"));
            Error::NotFound(format!("probe `{name}`{hint}"))
        })?;
        Ok(probe(found).into())
    }

    async fn get_server_info(&self, _: Request<pb::GetServerInfoRequest>) -> Reply<pb::ServerInfo> {
        let limits = self.lab.limits().by_name().into_iter().collect();
        let walls = self.lab.walls().await?.iter();
        let walls = walls.map(|w| pb::Wall { name: w.wall.name().to_owned(), missing: w.missing.clone() }).collect();
        let info = pb::ServerInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            // Where its folder is, is the operator's business.
            engine: self.lab.engine_name().split(':').next().unwrap_or_default().to_owned(),
            slots: self.slots,
            limits,
            walls,
        };
        Ok(info.into())
    }
}

fn probe(manual: &Manual) -> pb::Probe {
    let access = |access: &Access| match access {
        Access::Label => pb::Access::Label.into(),
        Access::Score => pb::Access::Score.into(),
        Access::Gradient => pb::Access::Gradient.into(),
        Access::Internals => pb::Access::Internals.into(),
        Access::Weights => pb::Access::Weights.into(),
    };
    // The description of the whole is the manual already.
    let mut schema = (manual.schema)();
    schema.remove("description");
    pb::Probe {
        name: manual.name.to_owned(),
        family: manual.family.to_owned(),
        summary: manual.summary(),
        manual: manual.text(),
        parameters: schema.as_object().map(map_to_struct),
        paper: manual.paper.to_owned(),
        accesses: manual.accesses.iter().map(access).collect(),
        cost: manual.cost.to_owned(),
    }
}

//! SuiteService.

use tonic::{Request, Streaming};

use super::convert::{case_from_pb, check_from_pb, suite_to_pb};
use super::pb::{self, suite_service_server::SuiteService};
use super::whole::Cut;
use super::{Reply, Service, tenant};
use crate::error::{Error, Result};
use crate::lab::NewSuite;

#[tonic::async_trait]
impl SuiteService for Service {
    async fn upload_suite(&self, request: Request<Streaming<pb::UploadSuiteRequest>>) -> Reply<pb::Suite> {
        let tenant = tenant(&request)?;
        let _held = self.lab.stream_place(&tenant)?;
        let cut = Cut::of(&request);
        let mut messages = request.into_inner();
        let longest = ("message_bytes", self.lab.limits().message_bytes);
        let first = self.next(&mut messages, longest).await?.and_then(|m| m.message);
        let Some(pb::upload_suite_request::Message::Header(header)) = first else {
            return Err(Error::invalid("header", "is missing; it comes before the first cases").into());
        };
        let checks = header.checks.into_iter().map(check_from_pb).collect::<Result<_>>()?;
        let header =
            NewSuite { display_name: header.display_name, checks, gates: header.gates, case_count: header.case_count };
        let mut upload = self.lab.upload_suite(&tenant, header).await?;
        let mut position = 0usize;
        while let Some(message) = self.next(&mut messages, longest).await? {
            let Some(pb::upload_suite_request::Message::Cases(batch)) = message.message else {
                return Err(Error::invalid("header", "came twice; cases follow the first").into());
            };
            for case in batch.cases {
                let case = case_from_pb(case).map_err(|e| e.under(&format!("cases[{position}]")))?;
                upload.add(&case).await?;
                position += 1;
            }
        }
        cut.refuse()?;
        Ok(suite_to_pb(&upload.finish().await?).into())
    }

    async fn get_suite(&self, request: Request<pb::GetSuiteRequest>) -> Reply<pb::Suite> {
        let suite = self.lab.suite(&tenant(&request)?, &request.get_ref().name).await?;
        Ok(suite_to_pb(&suite).into())
    }

    async fn list_suites(&self, request: Request<pb::ListSuitesRequest>) -> Reply<pb::ListSuitesResponse> {
        let (tenant, page) = (tenant(&request)?, request.get_ref());
        let (suites, next_page_token) = self.lab.suites(&tenant, page.page_size, &page.page_token).await?;
        Ok(pb::ListSuitesResponse { suites: suites.iter().map(suite_to_pb).collect(), next_page_token }.into())
    }

    async fn delete_suite(&self, request: Request<pb::DeleteSuiteRequest>) -> Reply<()> {
        self.lab.delete_suite(&tenant(&request)?, &request.get_ref().name).await?;
        Ok(().into())
    }
}

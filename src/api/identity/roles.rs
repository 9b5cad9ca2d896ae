//! Which role a method needs.

use super::Role;

/// Methods that anybody may call: a balancer asks without credentials.
const OPEN: &[&str] = &["grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"];

/// Methods that only look.
const READER: &[&str] = &[
    "assay.v1.CatalogService/GetProbe",
    "assay.v1.CatalogService/GetServerInfo",
    "assay.v1.CatalogService/ListProbes",
    "assay.v1.JobService/GetJob",
    "assay.v1.JobService/GetReport",
    "assay.v1.JobService/ListArtifacts",
    "assay.v1.JobService/ListJobs",
    "assay.v1.JobService/ListResults",
    "assay.v1.JobService/ReadArtifact",
    "assay.v1.JobService/StreamResults",
    "assay.v1.ModelService/GetModel",
    "assay.v1.ModelService/GetUpload",
    "assay.v1.ModelService/InspectModel",
    "assay.v1.ModelService/ListModels",
    "assay.v1.SuiteService/GetSuite",
    "assay.v1.SuiteService/ListSuites",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "inference.GRPCInferenceService/ModelMetadata",
    "inference.GRPCInferenceService/ModelReady",
    "inference.GRPCInferenceService/ServerLive",
    "inference.GRPCInferenceService/ServerMetadata",
    "inference.GRPCInferenceService/ServerReady",
];

/// Methods that change something or have a model work.
const RUNNER: &[&str] = &[
    "assay.v1.JobService/CancelJob",
    "assay.v1.JobService/CreateJob",
    "assay.v1.JobService/DeleteJob",
    "assay.v1.JobService/ReplayCase",
    "assay.v1.ModelService/DeleteModel",
    "assay.v1.ModelService/RegisterModel",
    "assay.v1.ModelService/UploadModel",
    "assay.v1.SuiteService/DeleteSuite",
    "assay.v1.SuiteService/UploadSuite",
    "inference.GRPCInferenceService/ModelInfer",
];

/// What methods that are not listed are called together, so that no log fills with made-up names.
const OTHER: &str = "_OTHER";

/// A method's name as it is listed, and the least role that may call it; `None` if nobody needs any. What is not listed is
/// the administrators', so that a method that was forgotten here is closed and not open.
pub(super) fn listed(method: &str) -> (&'static str, Option<Role>) {
    let groups = [(OPEN, None), (READER, Some(Role::Reader)), (RUNNER, Some(Role::Runner))];
    let all = groups.into_iter().flat_map(|(methods, role)| methods.iter().map(move |name| (*name, role)));
    all.into_iter().find(|(name, _)| *name == method).unwrap_or((OTHER, Some(Role::Admin)))
}

/// Whether a method that needs a role changes something, and is written down. An inference has a model work, and leaves
/// nothing.
pub(super) fn changes(method: &str, needed: Role) -> bool {
    needed > Role::Reader && method != "inference.GRPCInferenceService/ModelInfer"
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn needed(method: &str) -> Option<Role> {
        listed(method).1
    }

    #[test]
    fn every_method_is_listed_once_and_none_is_made_up() {
        let all = [OPEN, READER, RUNNER].concat();
        let names: HashSet<String> = all.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(names.len(), all.len());
        let mut served = crate::api::methods().unwrap();
        served.insert("grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned());
        assert_eq!(names.symmetric_difference(&served).collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(needed("assay.v1.JobService/Forgotten"), Some(Role::Admin));
    }

    #[test]
    fn names_tell_what_a_method_needs() {
        for method in crate::api::methods().unwrap() {
            let (service, name) = method.split_once('/').unwrap();
            if service == "grpc.health.v1.Health" {
                assert_eq!(needed(&method), None);
                continue;
            }
            let looks = match service {
                "inference.GRPCInferenceService" => name != "ModelInfer",
                _ => ["Get", "List", "Stream", "Read", "Inspect"].iter().any(|verb| name.starts_with(verb)),
            };
            assert_eq!(needed(&method), Some(if looks { Role::Reader } else { Role::Runner }), "{method}");
        }
    }
}

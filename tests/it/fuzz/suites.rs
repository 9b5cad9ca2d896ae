//! A job in a file, as the command line reads it.

use super::drive;
use crate::cli::{assay, stderr};
use crate::soak::rounds;

/// A `SUITE.yaml` for `assay suite validate`: taken, or refused with words.
fn suite_file(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("suite.yaml");
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(folder.path().join("cases.csv"), "a,b,label\n1,2,0\n3,4,1\n").unwrap();
    let output = assay(&["suite", "validate", path.to_str().unwrap()]);
    let words = stderr(&output);
    assert!(!words.contains("panicked") && !words.contains("internal error"), "{words}");
    assert!(output.status.success() || (output.status.code() == Some(2) && !words.trim().is_empty()), "{output:?}");
    output.status.success()
}

#[test]
fn suite_files() {
    let plain = "cases: cases.csv#label\nchecks: [clean]\n";
    let rich = "cases: cases.csv#label\nchecks:\n- clean\n- name: feature_drift\n  params: {severity: [1, 2]}\ngates:\n\
                - clean.accuracy >= 0.5\n- {gate: clean.nll <= 2, inconclusive: pass}\nseed: 7\nlimit: 2\n\
                output: json\nslices: [a]\n";
    let samples = [plain, rich].map(|text| text.as_bytes().to_vec()).into();
    drive("suite_file", samples, rounds(60, 4000), suite_file);
}

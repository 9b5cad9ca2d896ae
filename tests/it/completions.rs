//! Scripts by which shells complete `assay`.

use std::process::Command;

use crate::cli::assay;

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = assay(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("catalog") && script.contains("suite"), "{shell}");
    }
    assert_eq!(assay(&["completions", "command.com"]).status.code(), Some(2));
}

#[test]
fn bash_completes_commands_options_and_choices() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("assay.bash");
    std::fs::write(&script, assay(&["completions", "bash"]).stdout).unwrap();
    // What bash itself calls when the tabulator key is hit on the last of these words.
    let complete = |words: &str| {
        let code = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _assay assay \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\"",
            script.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &code]).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("assay cat"), "catalog");
    assert_eq!(complete("assay run --sui"), "--suite");
    assert_eq!(complete("assay run --output m"), "markdown");
}

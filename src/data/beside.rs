//! Files that a list of cases names.

use std::fs;
use std::path::{Path, PathBuf};

use super::Value;
use crate::error::{Error, Result};

/// Endings of files that are taken for pictures.
const ENDINGS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Whether a file's name says that it is a picture.
pub(super) fn is_picture(path: &Path) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// The folder that a list of cases lies in.
pub(super) fn folder(list: &Path) -> PathBuf {
    list.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// The picture `relative` to `folder`. A list that came from elsewhere must not reach for other files of this machine:
/// whatever leads out of the folder, by its name or by a link, is refused.
pub(super) fn picture(folder: &Path, relative: &Path) -> Result<Value> {
    let path = folder.join(relative);
    let refuse =
        |what: &dyn std::fmt::Display| Error::invalid("cases", format!("the picture {}: {what}", path.display()));
    let real = |path: &Path| path.canonicalize().map_err(|e| refuse(&e));
    // `..` may also lead to what is not there; what it is told is the same.
    let climbs =
        relative.components().any(|c| !matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir));
    if climbs || !real(&path)?.starts_with(real(folder)?) {
        return Err(refuse(&"leads out of the folder"));
    }
    fs::read(&path).map(Value::Image).map_err(|e| refuse(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("cases");
        fs::create_dir(&folder).unwrap();
        fs::write(outer.path().join("secret.png"), "secret").unwrap();
        fs::write(folder.join("a.png"), "a").unwrap();
        let refused = |name: &str| picture(&folder, Path::new(name)).unwrap_err().to_string();
        assert!(refused("../secret.png").contains("leads out"));
        assert!(refused("../missing.png").contains("leads out"));
        assert!(refused(outer.path().join("secret.png").to_str().unwrap()).contains("leads out"));
        assert!(refused("missing.png").contains("missing.png"));
        assert_eq!(picture(&folder, Path::new("./a.png")).unwrap(), Value::Image(b"a".to_vec()));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("../secret.png", folder.join("link.png")).unwrap();
            std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
            std::os::unix::fs::symlink("a.png", folder.join("within.png")).unwrap();
            assert!(refused("link.png").contains("leads out") && refused("up/secret.png").contains("leads out"));
            assert_eq!(picture(&folder, Path::new("within.png")).unwrap(), Value::Image(b"a".to_vec()));
        }
    }
}

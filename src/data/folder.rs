//! Folders of pictures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::table::{self, Table};
use super::{Case, Class, Expected, Value};
use crate::error::{Error, Result};

/// Files that are taken for pictures.
const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// A folder with a `labels.csv`, or with one subfolder a class in name order. Ids are relative paths; the input is
/// named `image`.
pub(super) fn read(folder: &Path) -> Result<Vec<Case>> {
    let labels = folder.join("labels.csv");
    if labels.is_file() { listed(folder, &labels) } else { by_class(folder) }
}

fn refuse(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::invalid("cases", format!("{}: {what}", path.display()))
}

/// `file,label` and further columns, which become tags; `acceptable` lists further right classes.
fn listed(folder: &Path, labels: &Path) -> Result<Vec<Case>> {
    let table = Table::open(labels)?;
    let column = |name: &str| {
        let message = format!("has no column `{name}`; it has {}", table.columns.join(", "));
        table.column(name).ok_or_else(|| refuse(labels, message))
    };
    let (file, label, acceptable) = (column("file")?, column("label")?, table.column("acceptable"));
    let words = |cell: &str| cell.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let texts: Vec<&str> = table.rows.iter().map(|row| row[label].as_str()).collect();
    let named = texts.iter().any(|t| t.parse::<u64>().is_err());
    let mut cases = Vec::new();
    for (row, label_class) in table.rows.iter().zip(table::classes(&texts)) {
        let mut further = Vec::new();
        for word in acceptable.map_or(Vec::new(), |at| words(&row[at])) {
            let index = word.parse().ok().filter(|_| !named).map(Class::Index);
            if index.is_none() && !named {
                return Err(refuse(labels, format!("acceptable class `{word}` was found, an index was expected")));
            }
            let class = index.unwrap_or(Class::Name(word));
            if class != label_class {
                further.push(class);
            }
        }
        let rest = row.iter().enumerate().filter(|(at, _)| *at != file && *at != label && Some(*at) != acceptable);
        let tags = rest.filter_map(|(at, text)| Some((table.columns.get(at)?.clone(), table::tag(text)))).collect();
        let expected = Expected::Class { label: label_class, acceptable: further };
        cases.push(Case { tags, ..case(folder, Path::new(&row[file]), expected)? });
    }
    Ok(cases)
}

fn by_class(folder: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let classes: Vec<PathBuf> = entries(folder)?.into_iter().filter(|p| p.is_dir()).collect();
    if classes.is_empty() {
        return Err(refuse(folder, "neither labels.csv nor a subfolder for each class was found"));
    }
    for (index, class) in classes.iter().enumerate() {
        for path in entries(class)? {
            let kind = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
            if kind.is_some_and(|k| PICTURES.contains(&k.as_str())) {
                let relative = path.strip_prefix(folder).map_err(|e| refuse(&path, e))?;
                let expected = Expected::Class { label: Class::Index(index as u64), acceptable: Vec::new() };
                cases.push(case(folder, relative, expected)?);
            }
        }
    }
    Ok(cases)
}

/// What a folder holds, in name order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).map_err(|e| refuse(folder, e))?;
    let mut paths = listed.map(|e| Ok(e.map_err(|e| refuse(folder, e))?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn case(folder: &Path, relative: &Path, expected: Expected) -> Result<Case> {
    // A list that came with the pictures must not reach for other files of this machine.
    if !relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(refuse(relative, "leads out of the folder"));
    }
    let path = folder.join(relative);
    let file = fs::read(&path).map_err(|e| refuse(&path, e))?;
    let id = relative.to_string_lossy().replace('\\', "/");
    let inputs = BTreeMap::from([("image".to_owned(), Value::Image(file))]);
    Ok(Case { id, inputs, expected, tags: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subfolders_are_classes_and_lists_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/2.png", "a/1.png", "a/notes.txt"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let ids = |cases: &[Case]| cases.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&read(folder.path()).unwrap()), ["a/1.png", "b/2.png"]);
        let list = folder.path().join("labels.csv");
        fs::write(&list, "file,label,acceptable,light\nb/2.png,7,3 7,0.5\n").unwrap();
        let cases = read(folder.path()).unwrap();
        let expected = Expected::Class { label: Class::Index(7), acceptable: vec![Class::Index(3)] };
        assert_eq!((ids(&cases), &cases[0].expected), (vec!["b/2.png".to_owned()], &expected));
        assert_eq!(cases[0].tags["light"], super::super::Tag::Number(0.5));
        fs::write(&list, "file,label\n../secret,1\n").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("leads out"));
    }
}

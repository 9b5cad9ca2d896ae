//! Folders of pictures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::labels::{self, Labels};
use super::table::Table;
use super::{Case, Cases, Class, Expected, beside};
use crate::error::{Error, Result};

/// A folder with a `labels.csv`, or with one subfolder a class in name order. Ids are relative paths; the input is
/// named `image`.
pub(super) fn read(folder: &Path) -> Result<Cases> {
    let labels = folder.join("labels.csv");
    if labels.is_file() { listed(folder.to_owned(), &labels) } else { by_class(folder.to_owned()) }
}

fn refuse(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::invalid("cases", format!("{}: {what}", path.display()))
}

/// `file,label` and further columns, which become tags; `acceptable` lists further right classes. A picture that the column
/// `mask` names becomes an input of that name.
fn listed(folder: PathBuf, list: &Path) -> Result<Cases> {
    let table = Table::open(list)?;
    let (file, label, acceptable) = (table.column("file")?, table.column("label")?, table.find("acceptable"));
    let (mut labels, mut count) = (Labels::default(), 0);
    for row in table.rows()? {
        labels.see(&row?[label]);
        count += 1;
    }
    let rows = table.rows()?.map(move |row| {
        let row = row?;
        let expected = labels.expected(&row[label], acceptable.map_or("", |at| &row[at]));
        let expected = expected.map_err(|e| table.refuse_row(&row, e))?;
        let rest = table
            .columns
            .iter()
            .enumerate()
            .filter(|(at, _)| ![Some(file), Some(label), acceptable].contains(&Some(*at)));
        let (masks, rest): (Vec<_>, Vec<_>) =
            rest.partition(|(at, name)| *name == "mask" && beside::is_picture(Path::new(&row[*at])));
        let tags = rest.into_iter().filter_map(|(at, name)| Some((name.clone(), labels::tag(&row[at])?))).collect();
        let mut case = Case { tags, ..case(&folder, Path::new(&row[file]), expected)? };
        for (at, name) in masks {
            case.inputs.insert(name.clone(), beside::picture(&folder, Path::new(&row[at]))?);
        }
        Ok(case)
    });
    Ok(Cases::new(count, rows))
}

fn by_class(folder: PathBuf) -> Result<Cases> {
    let classes: Vec<PathBuf> = entries(&folder)?.into_iter().filter(|p| p.is_dir()).collect();
    if classes.is_empty() {
        return Err(refuse(&folder, "neither labels.csv nor a subfolder for each class was found"));
    }
    let mut pictures = Vec::new();
    for (class, subfolder) in (0..).zip(classes) {
        for path in entries(&subfolder)?.into_iter().filter(|path| beside::is_picture(path)) {
            pictures.push((class, path.strip_prefix(&folder).map_err(|e| refuse(&path, e))?.to_owned()));
        }
    }
    let count = pictures.len();
    let rows = pictures.into_iter().map(move |(class, path)| {
        case(&folder, &path, Expected::Class { label: Class::Index(class), acceptable: Vec::new() })
    });
    Ok(Cases::new(count, rows))
}

/// What a folder holds, in name order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).map_err(|e| refuse(folder, e))?;
    let mut paths = listed.map(|e| Ok(e.map_err(|e| refuse(folder, e))?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn case(folder: &Path, relative: &Path, expected: Expected) -> Result<Case> {
    let id = relative.to_string_lossy().replace('\\', "/");
    let inputs = BTreeMap::from([("image".to_owned(), beside::picture(folder, relative)?)]);
    Ok(Case { id, inputs, expected, tags: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use super::super::Tag;
    use super::*;

    fn cases(folder: &Path) -> Result<Vec<Case>> {
        read(folder)?.collect()
    }

    #[test]
    fn subfolders_are_classes_and_lists_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b/2.png", "a/1.png", "a/notes.txt"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let ids = |cases: &[Case]| cases.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&cases(folder.path()).unwrap()), ["a/1.png", "b/2.png"]);
        let list = folder.path().join("labels.csv");
        fs::write(&list, "file,label,acceptable,light\nb/2.png,7,3 7,0.5\n").unwrap();
        let found = cases(folder.path()).unwrap();
        let expected = Expected::Class { label: Class::Index(7), acceptable: vec![Class::Index(3)] };
        assert_eq!((ids(&found), &found[0].expected), (vec!["b/2.png".to_owned()], &expected));
        assert_eq!(found[0].tags["light"], Tag::Number(0.5));
        fs::write(&list, "file,label,mask\nb/2.png,7,a/1.png\na/1.png,7,worn\n").unwrap();
        let found = cases(folder.path()).unwrap();
        assert!(found[0].inputs["mask"] == found[1].inputs["image"] && found[0].tags.is_empty());
        assert!(found[1].inputs.len() == 1 && found[1].tags["mask"] == Tag::Text("worn".to_owned()));
        fs::write(&list, "file,label,mask\nb/2.png,1,../secret.png\n").unwrap();
        assert!(cases(folder.path()).unwrap_err().to_string().contains("leads out"));
        fs::write(&list, "file,label\n../secret,1\n").unwrap();
        assert!(cases(folder.path()).unwrap_err().to_string().contains("leads out"));
    }
}

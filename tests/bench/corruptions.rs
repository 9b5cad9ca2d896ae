//! Times every corruption at severity 3 on one 224x224 RGB picture, on one thread: a line of JSON each.
//!
//! `cargo bench --bench corruptions -- PICTURE.rgb`, where the file holds 224 * 224 * 3 samples; `corruptions.py`
//! writes it, runs this and the Python package imagecorruptions in turn, and prints the ratios.

use std::hint::black_box;
use std::time::Instant;

use assay::probe::corruption::{CORRUPTIONS, Sample};
use assay::tensor::{Pixels, Rng};
use assay::{Error, Result};
use serde_json::{Map, json};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Least time that one corruption is measured for, in seconds.
const SECONDS_MIN: f64 = 0.5;

fn main() -> Result<()> {
    let path = std::env::args().nth(1).filter(|a| !a.starts_with('-'));
    let path = path.ok_or_else(|| Error::invalid("argument", "a file of 224 * 224 * 3 samples was expected"))?;
    let data = std::fs::read(&path).map_err(|e| Error::invalid("argument", format!("{path}: {e}")))?;
    let picture = Pixels::new(224, 224, 3, data)
        .ok_or_else(|| Error::invalid("argument", format!("{path} does not hold 224 * 224 * 3 samples")))?;
    for entry in CORRUPTIONS.iter().filter(|e| e.manual.kinds == [assay::probe::Kind::Picture]) {
        let corrupter = (entry.read)(&Map::from_iter([("severity".to_owned(), json!(3))]))?;
        let mut seconds = Vec::new();
        while seconds.iter().sum::<f64>() < SECONDS_MIN || seconds.len() < 5 {
            let mut sample = Sample::Picture(picture.clone());
            let mut rng = Rng::new(seconds.len() as u64, entry.manual.name, "", 0);
            let start = Instant::now();
            corrupter(&mut sample, &mut rng)?;
            seconds.push(start.elapsed().as_secs_f64());
            black_box(sample);
        }
        seconds.sort_by(f64::total_cmp);
        println!("{}", json!({"name": entry.manual.name, "seconds": seconds[seconds.len() / 2]}));
    }
    Ok(())
}

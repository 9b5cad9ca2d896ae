//! The work of a job without the service: cases read, prepared, probed and judged on threads of this process. Prints
//! seconds; `service.py` sets them beside those of `assay run`.
//!
//!     cargo bench --bench within -- MODEL SIGNATURE CASES THREADS CHECK...

use std::sync::Mutex;
use std::time::Instant;

use assay::data::{self, Case};
use assay::engine::Model;
use assay::suite::{self, Check, Chunk, Plan, Subject};
use assay::{Error, Result};

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    // Cargo adds an option of its own.
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [model, signature, cases, threads, specs @ ..] = args.as_slice() else {
        return Err(Error::invalid("arguments", "MODEL SIGNATURE CASES THREADS CHECK... were expected"));
    };
    let read = |path: &String| std::fs::read(path).map_err(|e| Error::invalid(path.as_str(), e.to_string()));
    let threads: usize = threads.parse().map_err(|e| Error::invalid("THREADS", format!("{e}")))?;
    let start = Instant::now();
    let model = Model::load(&read(model)?, &String::from_utf8_lossy(&read(signature)?))?;
    let cases = data::read(cases)?.collect::<Result<Vec<Case>>>()?;
    let checks = specs.iter().map(|spec| Check::parse(spec)).collect::<Result<Vec<_>>>()?;
    let plan = Plan::new(cases.len() as u64, 1, 1);
    let chunks = Mutex::new((0..plan.len()).filter_map(|i| plan.shard(i)));
    // The lock is held for as long as it takes to draw one, not while it is worked on.
    let draw = || chunks.lock().map(|mut left| left.next()).map_err(|e| Error::internal("chunks", e));
    let subject = Subject::new(&model);
    let work = || -> Result<usize> {
        let mut verdicts = 0;
        while let Some(shard) = draw()? {
            let first = usize::try_from(shard.cases.start).map_err(|e| Error::internal("case", e))?;
            let end = usize::try_from(shard.cases.end).map_err(|e| Error::internal("case", e))?;
            let chunk = Chunk::new(&model, &cases[first..end], shard.cases.start)?;
            for check in &checks {
                verdicts += suite::run(&subject, &chunk, check, 0, 0, false)?.verdicts.len();
            }
        }
        Ok(verdicts)
    };
    let verdicts = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let each = workers.into_iter().map(|w| w.join().map_err(|_| Error::internal("thread", "it panicked"))?);
        each.sum::<Result<usize>>()
    })?;
    println!("{:.3} {verdicts}", start.elapsed().as_secs_f64());
    Ok(())
}

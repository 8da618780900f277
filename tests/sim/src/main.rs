//! Plays schedules against the core: `doorward-sim --schedules 1000000 [--seed N] [--jobs N]`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use doorward_sim::runner::{Failure, run};
use doorward_sim::step;
use doorward_sim::subject::Fault;
use doorward_sim::world::{Seen, play};

const USAGE: &str = "\
doorward-sim [--schedules N] [--seed N] [--jobs N] [--out FILE]   plays N generated schedules (default 100000)
doorward-sim --replay FILE                                       plays one that was written down

Ends with 0 when every schedule kept the promises, with 1 when one did not: that one is shrunk and written to FILE
(default found.txt), to be put into tests/sim/corpus/.
";

struct Options {
    schedules: u64,
    seed: u64,
    jobs: u64,
    out: String,
    replay: Option<String>,
}

fn options() -> Option<Options> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut options =
        Options { schedules: 100_000, seed: since.as_secs(), jobs: 1, out: "found.txt".to_owned(), replay: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--schedules" => options.schedules = value.parse().ok()?,
            "--seed" => options.seed = value.parse().ok()?,
            "--jobs" => options.jobs = value.parse().ok().filter(|jobs| *jobs > 0)?,
            "--out" => options.out = value,
            "--replay" => options.replay = Some(value),
            _ => return None,
        }
    }
    Some(options)
}

/// Writes a line for people; where nobody listens any more, that is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        say(USAGE);
        return ExitCode::from(2);
    };
    if let Some(file) = &options.replay {
        return replay(file);
    }
    say(&format!("seed {}, {} schedules, {} at a time", options.seed, options.schedules, options.jobs));
    let begun = Instant::now();
    match run_all(&options) {
        Ok(seen) => {
            let seconds = begun.elapsed().as_secs_f64();
            say(&format!("{} schedules kept the promises, in {seconds:.1} s\n{seen:#?}", options.schedules));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let text = failure.text(options.seed);
            say(&text);
            if let Err(error) = std::fs::write(&options.out, text) {
                say(&format!("{} could not be written: {error}", options.out));
            }
            ExitCode::FAILURE
        }
    }
}

fn replay(file: &str) -> ExitCode {
    let steps = std::fs::read_to_string(file).map_err(|error| error.to_string());
    match steps.and_then(|text| step::read(&text).map_err(|error| error.to_string())) {
        Ok(steps) => match play(&steps, Fault::None) {
            Ok(seen) => {
                say(&format!("{} steps kept the promises\n{seen:#?}", steps.len()));
                ExitCode::SUCCESS
            }
            Err(violation) => {
                let step = violation.step.saturating_add(1);
                say(&format!("step {step}: {}", violation.what));
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            say(&format!("{file}: {error}"));
            ExitCode::from(2)
        }
    }
}

fn run_all(options: &Options) -> Result<Seen, Box<Failure>> {
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let finished = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..options.jobs)
            .map(|job| {
                let (done, stop) = (&done, &stop);
                let step = usize::try_from(options.jobs).unwrap_or(usize::MAX);
                scope.spawn(move || run(options.seed, (job..options.schedules).step_by(step), Fault::None, done, stop))
            })
            .collect();
        let progress = scope.spawn(|| show(options.schedules, &done, &finished));
        let mut result = Ok(Seen::default());
        for job in jobs {
            match (&mut result, job.join()) {
                (Ok(all), Ok(Ok(seen))) => all.add(&seen),
                (Ok(_), Ok(Err(failure))) => result = Err(failure),
                (Err(_), Ok(_)) => {}
                (_, Err(panic)) => std::panic::resume_unwind(panic),
            }
        }
        finished.store(true, Ordering::Relaxed);
        progress.thread().unpark();
        result
    })
}

/// Shows progress every two seconds.
fn show(schedules: u64, done: &AtomicU64, finished: &AtomicBool) {
    let begun = Instant::now();
    loop {
        std::thread::park_timeout(Duration::from_secs(2));
        if finished.load(Ordering::Relaxed) {
            return;
        }
        let done = done.load(Ordering::Relaxed);
        let rate = done / begun.elapsed().as_secs().max(1);
        say(&format!("{done} of {schedules} schedules, {rate} a second"));
    }
}

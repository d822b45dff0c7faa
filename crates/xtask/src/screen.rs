//! What the person at the terminal sees: a spinner for what takes long, plain lines where there is
//! no terminal.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the screen is what this is about")]

use std::borrow::Cow;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

const TICK: Duration = Duration::from_millis(100);

/// Says something that is not part of the result.
pub(crate) fn say(line: impl AsRef<str>) {
    eprintln!("{}", line.as_ref());
}

/// Prints a part of the result.
pub(crate) fn print(line: impl AsRef<str>) {
    println!("{}", line.as_ref());
}

/// Says what went wrong, with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// Something that takes a while. It has failed when it is dropped before [`Step::done`].
#[derive(Debug)]
pub(crate) struct Step {
    bar: Option<ProgressBar>,
    what: Cow<'static, str>,
    started: Instant,
    is_done: bool,
}

/// Shows that something has begun.
pub(crate) fn step(what: impl Into<Cow<'static, str>>) -> Step {
    let what = what.into();
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new_spinner().with_message(what.clone());
        bar.enable_steady_tick(TICK);
        bar
    });
    if bar.is_none() {
        say(format!("{what} ..."));
    }
    Step { bar, what, started: Instant::now(), is_done: false }
}

impl Step {
    /// Shows that it has ended well.
    pub(crate) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let outcome = if self.is_done { "done" } else { "failed" };
        say(format!("{}: {outcome} ({:.1} s)", self.what, self.started.elapsed().as_secs_f64()));
    }
}

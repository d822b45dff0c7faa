//! A picture of a test: how far the leader was ahead at every look, how far it had to be, and what was decided.

mod svg;

use crate::monitor::{Action, Decision};
use svg::{Anchor, Drawing};

const SIZE: (u16, u16) = (720, 400);
const LEFT: f64 = 56.0;
const RIGHT: f64 = 696.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 340.0;
/// Where looks that did not take part are marked.
const MARGIN: f64 = 352.0;
/// A boundary above this is drawn at the edge: it could not be reached.
const HIGHEST: f64 = 6.0;
/// What fits beside the edge.
const LONGEST_TITLE: usize = 80;
const LONGEST_NAME: usize = 40;

/// The words of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a> {
    pub title: &'a str,
    /// What the arms are called, in their order.
    pub arms: &'a [&'a str],
}

/// Draws what [`crate::monitor::replay`] answered as SVG of 720 by 400, for light and dark pages alike. Equal decisions
/// give equal bytes.
pub fn draw(decisions: &[Decision], words: Words<'_>) -> String {
    let plot = Plot::new(decisions);
    let outcome = decided(decisions);
    let title = shortened(words.title, LONGEST_TITLE);
    let told = outcome.map_or_else(
        || format!("{} looks, not decided yet", decisions.len()),
        |(index, decision)| format!("decided at look {}: {}", index + 1, verdict(decision, &words)),
    );
    let mut drawing = Drawing::new(SIZE, &title, &told);
    drawing.text("title", Anchor::Start, (LEFT - 32.0, 28.0), &title);
    plot.axes(&mut drawing);
    if let Some((index, decision)) = outcome {
        let x = plot.x(index);
        drawing.line("decision", (x, TOP), (x, BOTTOM));
        let is_left = x < 0.5 * (LEFT + RIGHT);
        let (anchor, x) = if is_left { (Anchor::Start, x - 2.0) } else { (Anchor::End, x + 2.0) };
        drawing.text("decision-text", anchor, (x, TOP - 10.0), &verdict(decision, &words));
    } else {
        drawing.text("decision-text", Anchor::End, (RIGHT, TOP - 10.0), "not decided yet");
    }
    plot.course(&mut drawing, &words);
    drawing.finish()
}

/// Where things are.
struct Plot<'a> {
    decisions: &'a [Decision],
    /// Horizontally the maturity, or the number of the look where maturity stands still.
    is_by_maturity: bool,
    lowest: f64,
    highest: f64,
}

impl<'a> Plot<'a> {
    fn new(decisions: &'a [Decision]) -> Self {
        let pairs = decisions.iter().zip(decisions.iter().skip(1));
        let is_by_maturity =
            pairs.into_iter().all(|(before, after)| before.spending_time < after.spending_time);
        let (mut lowest, mut highest): (f64, f64) = (0.0, 3.0);
        for statistic in decisions.iter().filter_map(|decision| decision.statistic) {
            for z in [statistic.smallest_z, statistic.boundary.min(HIGHEST)] {
                if z.is_finite() {
                    lowest = lowest.min(z.floor());
                    highest = highest.max(z.ceil());
                }
            }
        }
        Self { decisions, is_by_maturity, lowest, highest }
    }

    fn x(&self, index: usize) -> f64 {
        let share = if self.is_by_maturity {
            self.decisions[index].spending_time.get()
        } else {
            crate::number::real(index as u64 + 1) / crate::number::real(self.decisions.len() as u64)
        };
        LEFT + share * (RIGHT - LEFT)
    }

    fn y(&self, z: f64) -> f64 {
        let share = (z.min(self.highest) - self.lowest) / (self.highest - self.lowest);
        BOTTOM - share * (BOTTOM - TOP)
    }

    fn axes(&self, drawing: &mut Drawing) {
        let step = ((self.highest - self.lowest) / 8.0).ceil().max(1.0);
        let mut z = self.lowest;
        while z <= self.highest {
            drawing.line("grid", (LEFT, self.y(z)), (RIGHT, self.y(z)));
            drawing.text("tick", Anchor::End, (LEFT - 8.0, self.y(z) + 4.0), &format!("{z:.0}"));
            z += step;
        }
        drawing.text("axis", Anchor::Start, (LEFT - 32.0, TOP - 10.0), "z");
        let (below, axis) = (BOTTOM + 30.0, BOTTOM + 48.0);
        if self.is_by_maturity {
            for quarter in [0.0, 0.25, 0.5, 0.75, 1.0] {
                let x = LEFT + quarter * (RIGHT - LEFT);
                let percent = format!("{:.0} %", quarter * 100.0);
                drawing.text("tick", Anchor::Middle, (x, below), &percent);
            }
            let middle = 0.5 * (LEFT + RIGHT);
            drawing.text("axis", Anchor::Middle, (middle, axis), "share of the expected answers");
        } else {
            let looks = format!("{} looks", self.decisions.len());
            drawing.text("tick", Anchor::End, (RIGHT, below), &looks);
        }
    }

    fn course(&self, drawing: &mut Drawing, words: &Words<'_>) {
        let mut boundary = Vec::new();
        let mut course = Vec::new();
        for (index, decision) in self.decisions.iter().enumerate() {
            let Some(statistic) = decision.statistic else {
                let tells = format!("look {}: took no part", index + 1);
                drawing.dot("skipped", (self.x(index), MARGIN), &tells);
                continue;
            };
            if statistic.boundary.is_finite() {
                boundary.push((self.x(index), self.y(statistic.boundary)));
            }
            if statistic.smallest_z.is_finite() {
                let tells = format!(
                    "look {}: {} ahead by z = {:.2} of {:.2}",
                    index + 1,
                    name(words, statistic.leader),
                    statistic.smallest_z,
                    statistic.boundary
                );
                course.push(((self.x(index), self.y(statistic.smallest_z)), tells));
            }
        }
        drawing.polyline("boundary", &boundary);
        let points: Vec<(f64, f64)> = course.iter().map(|(point, _)| *point).collect();
        drawing.polyline("statistic", &points);
        for (point, tells) in &course {
            drawing.dot("look", *point, tells);
        }
        if let Some((x, y)) = boundary.first() {
            let place = ((x - 6.0).max(LEFT + 60.0), (y + 4.0).max(TOP + 10.0));
            drawing.text("boundary-text", Anchor::End, place, "boundary");
        }
        if let Some((x, y)) = points.first() {
            let place = ((x - 8.0).max(LEFT + 60.0), (y + 4.0).min(BOTTOM - 4.0));
            drawing.text("statistic-text", Anchor::End, place, "the leader's lead");
        }
    }
}

/// The first look that ended the waiting.
fn decided(decisions: &[Decision]) -> Option<(usize, &Decision)> {
    decisions.iter().enumerate().find(|(_, decision)| decision.action != Action::Continue)
}

fn verdict(decision: &Decision, words: &Words<'_>) -> String {
    let arm = decision.winner.map(|winner| format!(" {}", name(words, winner))).unwrap_or_default();
    match decision.action {
        Action::Continue => "go on".to_owned(),
        Action::Promote => format!("promote{arm}"),
        Action::PromoteNotSignificant => format!("promote{arm}, not significant"),
        Action::PromoteControl => format!("keep{arm}"),
        Action::Hold => format!("hold: {}", shortened(&decision.reason.to_string(), LONGEST_NAME)),
    }
}

fn name(words: &Words<'_>, arm: usize) -> String {
    match words.arms.get(arm) {
        Some(name) => shortened(name, LONGEST_NAME),
        None => format!("arm {}", arm + 1),
    }
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assignment::Weights;
    use crate::monitor::{ArmCounts, Design, Evidence, Look, Sending, replay};
    use crate::number::Fraction;

    const WORDS: Words<'_> = Words { title: "Spring <sale> & more", arms: &["Short", "\"Long\""] };

    fn decisions(leads: &[(f64, u64)]) -> Vec<Decision> {
        let look = |(time, lead): &(f64, u64)| {
            let arm = |responders| ArmCounts { sent: 5_000, responders, early_responders: 100 };
            let usual = (Fraction::new(*time).unwrap().get() * 1_000.0).round();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let usual = usual as u64;
            Look {
                spending_time: Fraction::new(*time).unwrap(),
                arms: vec![arm(usual), arm(usual + lead)],
            }
        };
        let looks: Vec<Look> = leads.iter().map(look).collect();
        let evidence = Evidence { looks: &looks, sending: Sending::Complete, guardrails: &[] };
        replay(&Design::fast(Weights::equal(2).unwrap()), &evidence).unwrap()
    }

    fn promoted() -> Vec<Decision> {
        decisions(&[(0.2, 20), (0.4, 25), (0.5, 30), (0.6, 50), (0.7, 80), (0.8, 130), (0.9, 140)])
    }

    #[test]
    fn a_path_shows_looks_boundary_and_decision() {
        let picture = draw(&promoted(), WORDS);
        assert_eq!(picture.matches("class=\"skipped\"").count(), 2);
        assert_eq!(picture.matches("class=\"look\"").count(), 5);
        assert!(picture.contains("decided at look 6: promote &quot;Long&quot;"), "{picture}");
        assert!(picture.contains("Spring &lt;sale&gt; &amp; more"));
        assert!(!picture.contains("NaN") && !picture.contains("inf"));
    }

    #[test]
    fn equal_decisions_give_equal_bytes() {
        assert_eq!(draw(&promoted(), WORDS), draw(&promoted(), WORDS));
    }

    #[test]
    fn a_test_under_way_and_one_without_looks_have_pictures_too() {
        let waiting = draw(&decisions(&[(0.2, 20), (0.6, 10)]), WORDS);
        assert!(waiting.contains("2 looks, not decided yet"));
        assert!(draw(&[], Words { title: "", arms: &[] }).contains("0 looks"));
    }

    #[test]
    fn names_too_long_for_their_place_are_shortened() {
        let title = "é".repeat(200);
        let picture = draw(&promoted(), Words { title: &title, arms: &[] });
        assert!(picture.contains(&format!(">{}…<", "é".repeat(LONGEST_TITLE))));
        assert!(picture.contains("promote arm 2"));
    }
}

//! One root finder for all inversions.

/// A zero of `f` between `a` and `b`, to `tolerance` and never finer than the last bits. Chandrupatla (1997): inverse quadratic where the three last
/// points allow it, bisection otherwise, so neither infinities nor kinks in `f` can make it wander. When `f` has one
/// sign only, the end whose value is nearer to zero.
pub(crate) fn bracketed(mut f: impl FnMut(f64) -> f64, (a, b): (f64, f64), tolerance: f64) -> f64 {
    let (mut a, mut b) = ((a, f(a)), (b, f(b)));
    if (a.1 > 0.0) == (b.1 > 0.0) {
        return nearer(a, b);
    }
    let mut step = 0.5;
    for _ in 0..200 {
        let x = a.0 + step * (b.0 - a.0);
        let point = (x, f(x));
        let previous;
        if (point.1 > 0.0) == (a.1 > 0.0) {
            previous = a;
        } else {
            previous = b;
            b = a;
        }
        a = point;
        let best = nearer(a, b);
        let finest = 2.0 * f64::EPSILON * best.abs() + f64::MIN_POSITIVE;
        let limit = tolerance.max(finest) / (b.0 - a.0).abs();
        if limit.is_nan() || limit >= 0.5 || a.1.abs() <= 0.0 {
            return nearer(a, b);
        }
        step = next_step(a, b, previous).clamp(limit, 1.0 - limit);
    }
    nearer(a, b)
}

/// How far to go from `a` towards `b`.
fn next_step(a: (f64, f64), b: (f64, f64), c: (f64, f64)) -> f64 {
    let xi = (a.0 - b.0) / (c.0 - b.0);
    let phi = (a.1 - b.1) / (c.1 - b.1);
    if phi * phi < xi && (1.0 - phi) * (1.0 - phi) < 1.0 - xi {
        a.1 / (b.1 - a.1) * (c.1 / (b.1 - c.1))
            + (c.0 - a.0) / (b.0 - a.0) * (a.1 / (c.1 - a.1)) * (b.1 / (c.1 - b.1))
    } else {
        0.5
    }
}

fn nearer(a: (f64, f64), b: (f64, f64)) -> f64 {
    if b.1.abs() < a.1.abs() { b.0 } else { a.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_roots_across_scales_kinks_and_infinities() {
        let mut calls = 0;
        let root = bracketed(
            |x| {
                calls += 1;
                x * x * x - 2e-18
            },
            (0.0, 1.0),
            0.0,
        );
        assert!((root / 2e-18_f64.cbrt() - 1.0).abs() < 1e-14 && calls < 100, "{calls}");
        let jump =
            bracketed(|x| if x < 0.3 { f64::NEG_INFINITY } else { x - 0.2 }, (0.0, 1.0), 0.0);
        assert!((jump - 0.3).abs() < 1e-15);
    }

    #[test]
    fn without_a_change_of_sign_it_returns_an_end() {
        assert!(bracketed(|x| x + 1.0, (0.0, 1.0), 0.0).abs() < 1e-300);
        assert!(bracketed(|_| f64::NAN, (0.0, 1.0), 0.0).is_finite());
    }
}

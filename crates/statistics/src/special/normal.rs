//! The standard normal distribution: density, tails and quantiles, to the last digits in either tail (a tail at `z`
//! has the relative error `z² · 1e-16` that rounding `z` itself causes).

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// `1 / sqrt(2 pi)`.
const DENSITY_AT_ZERO: f64 = 0.398_942_280_401_432_7;

pub(crate) fn density(z: f64) -> f64 {
    DENSITY_AT_ZERO * (-0.5 * z * z).exp()
}

/// `P(Z > z)`.
pub(crate) fn tail(z: f64) -> f64 {
    0.5 * erfc(z * FRAC_1_SQRT_2)
}

/// `P(Z <= z)`.
pub(crate) fn cdf(z: f64) -> f64 {
    tail(-z)
}

/// `P(|Z| > |z|)`: the two-sided p-value of `z`.
pub(crate) fn two_sided(z: f64) -> f64 {
    erfc(z.abs() * FRAC_1_SQRT_2)
}

/// The `z` with `P(Z > z) = tail`; not a number outside [0, 1].
///
/// Wichura (1988), algorithm AS 241 (PPND16), asked by the tail so that no digit of a small one is lost.
pub(crate) fn upper_quantile(tail: f64) -> f64 {
    const CENTRE: [(f64, f64); 8] = [
        (3.387_132_872_796_366_5, 1.0),
        (133.141_667_891_784_38, 42.313_330_701_600_91),
        (1_971.590_950_306_551_3, 687.187_007_492_057_9),
        (13_731.693_765_509_46, 5_394.196_021_424_751),
        (45_921.953_931_549_87, 21_213.794_301_586_597),
        (67_265.770_927_008_7, 39_307.895_800_092_71),
        (33_430.575_583_588_13, 28_729.085_735_721_943),
        (2_509.080_928_730_122_7, 5_226.495_278_852_854),
    ];
    const SHOULDER: [(f64, f64); 8] = [
        (1.423_437_110_749_683_5, 1.0),
        (4.630_337_846_156_546, 2.053_191_626_637_759),
        (5.769_497_221_460_691, 1.676_384_830_183_803_8),
        (3.647_848_324_763_204_5, 0.689_767_334_985_1),
        (1.270_458_252_452_368_4, 0.148_103_976_427_480_08),
        (0.241_780_725_177_450_6, 0.015_198_666_563_616_457),
        (0.022_723_844_989_269_184, 0.000_547_593_808_499_534_5),
        (0.000_774_545_014_278_341_4, 1.050_750_071_644_416_9e-9),
    ];
    const FAR: [(f64, f64); 8] = [
        (6.657_904_643_501_103, 1.0),
        (5.463_784_911_164_114, 0.599_832_206_555_888),
        (1.784_826_539_917_291_3, 0.136_929_880_922_735_8),
        (0.296_560_571_828_504_87, 0.014_875_361_290_850_615),
        (0.026_532_189_526_576_124, 0.000_786_869_131_145_613_3),
        (0.001_242_660_947_388_078_4, 1.846_318_317_510_054_8e-5),
        (2.711_555_568_743_487_6e-5, 1.421_511_758_316_446e-7),
        (2.010_334_399_292_288_1e-7, 2.044_263_103_389_939_7e-15),
    ];
    if !(0.0..=1.0).contains(&tail) {
        return f64::NAN;
    }
    let centred = 0.5 - tail;
    if centred.abs() <= 0.425 {
        return centred * ratio(&CENTRE, 0.180_625 - centred * centred);
    }
    let nearer = tail.min(1.0 - tail);
    if nearer <= 0.0 {
        return f64::INFINITY.copysign(centred);
    }
    let root = (-nearer.ln()).sqrt();
    let z = if root <= 5.0 { ratio(&SHOULDER, root - 1.6) } else { ratio(&FAR, root - 5.0) };
    z.copysign(centred)
}

/// The complementary error function. W. J. Cody, "Rational Chebyshev approximations for the error function",
/// Mathematics of Computation 23 (1969).
fn erfc(x: f64) -> f64 {
    const NEAR: [(f64, f64); 5] = [
        (3_209.377_589_138_469_4, 2_844.236_833_439_171),
        (377.485_237_685_302, 1_282.616_526_077_372_3),
        (113.864_154_151_050_16, 244.024_637_934_444_17),
        (3.161_123_743_870_565_5, 23.601_290_952_344_122),
        (0.185_777_706_184_603_15, 1.0),
    ];
    const MIDDLE: [(f64, f64); 9] = [
        (1_230.339_354_797_997_2, 1_230.339_354_803_749_5),
        (2_051.078_377_826_071_6, 3_439.367_674_143_721_6),
        (1_712.047_612_634_070_7, 4_362.619_090_143_247),
        (881.952_221_241_769, 3_290.799_235_733_459_7),
        (298.635_138_197_400_1, 1_621.389_574_566_690_3),
        (66.119_190_637_141_63, 537.181_101_862_009_9),
        (8.883_149_794_388_377, 117.693_950_891_312_5),
        (0.564_188_496_988_670_1, 15.744_926_110_709_835),
        (2.153_115_354_744_038_3e-8, 1.0),
    ];
    const FAR: [(f64, f64); 6] = [
        (0.000_658_749_161_529_837_8, 0.002_335_204_976_268_691_8),
        (0.016_083_785_148_742_275, 0.060_518_341_312_441_32),
        (0.125_781_726_111_229_26, 0.527_905_102_951_428_5),
        (0.360_344_899_949_804_45, 1.872_952_849_923_467_3),
        (0.305_326_634_961_232_36, 2.568_520_192_289_822),
        (0.016_315_387_137_302_097, 1.0),
    ];
    let size = x.abs();
    if size <= 0.468_75 {
        return 1.0 - x * ratio(&NEAR, x * x);
    }
    let scaled = if size <= 4.0 {
        ratio(&MIDDLE, size)
    } else {
        let inverse = 1.0 / (size * size);
        (1.0 / PI.sqrt() - inverse * ratio(&FAR, inverse)) / size
    };
    // exp(-x²) with x² split so that its rounding does not reach the exponent.
    let coarse = (size * 16.0).trunc() / 16.0;
    let fine = (size - coarse) * (size + coarse);
    let tail = if size > 27.5 { 0.0 } else { (-coarse * coarse).exp() * (-fine).exp() * scaled };
    if x < 0.0 { 2.0 - tail } else { tail }
}

/// A quotient of two polynomials given as pairs of coefficients (above, below), lowest power first.
fn ratio(coefficients: &[(f64, f64)], x: f64) -> f64 {
    let (above, below) = coefficients
        .iter()
        .rfold((0.0, 0.0), |(above, below), pair| (above * x + pair.0, below * x + pair.1));
    above / below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 4e-15 * expected.abs(), "{got:e} is not {expected:e}");
    }

    #[test]
    fn tails_keep_their_digits_however_small() {
        close(tail(1.0), 0.158_655_253_931_457_05);
        close(tail(5.0), 2.866_515_718_791_939e-7);
        close(tail(10.0), 7.619_853_024_160_526e-24);
        assert!((tail(37.0) / 5.725_571_222_524_577e-300 - 1.0).abs() < 2e-13);
        close(cdf(-10.0), 7.619_853_024_160_526e-24);
        close(two_sided(-1.959_963_984_540_054), 0.05);
    }

    #[test]
    fn quantiles_invert_tails() {
        for exponent in -300..0 {
            let probability = 10_f64.powi(exponent) * 0.7;
            let z = upper_quantile(probability);
            assert!((tail(z) / probability - 1.0).abs() < 1e-12, "{probability:e}");
        }
        close(upper_quantile(0.975), -1.959_963_984_540_054);
    }

    #[test]
    fn ends_and_nonsense_have_answers() {
        assert!(upper_quantile(0.0).is_infinite() && upper_quantile(0.0) > 0.0);
        assert!(upper_quantile(1.0).is_infinite() && upper_quantile(1.0) < 0.0);
        assert!(upper_quantile(-0.1).is_nan() && upper_quantile(f64::NAN).is_nan());
        assert!(tail(f64::INFINITY) <= 0.0 && tail(f64::NEG_INFINITY) >= 1.0);
        assert!(tail(f64::NAN).is_nan());
    }
}

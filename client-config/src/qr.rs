//! A config as a QR code, for the phone apps: on the terminal and as SVG.

use std::fmt::Write as _;

use fast_qr::{ECL, QRBuilder, QRCode};
use zeroize::Zeroizing;

/// Light modules around the code (ISO/IEC 18004 section 9.1: four).
const QUIET_ZONE_MODULES: usize = 4;

/// Pixels a module in the SVG: below 4, phone cameras fail on dense codes.
const MODULE_PIXELS: usize = 8;

/// Bytes that the largest code (version 40, level L) holds (ISO/IEC 18004 table 7).
const BYTES_MAX: usize = 2953;

/// The text does not fit into a QR code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QrError {
    /// More than the largest code holds.
    #[error("the config has {bytes} bytes and a QR code holds {BYTES_MAX}: use the file instead")]
    TooLong {
        /// How long the text is.
        bytes: usize,
    },
}

/// Draws the code with half blocks, two modules a character, for a terminal.
///
/// The colours are set explicitly, light modules as the foreground, so that the code scans on light and on dark
/// terminals; where colours are stripped it is right on dark ones.
///
/// # Errors
/// [`QrError::TooLong`] past what a QR code holds.
pub fn qr_terminal(text: &str) -> Result<Zeroizing<String>, QrError> {
    let code = Code::new(text)?;
    let side = code.side();
    let mut drawn =
        Zeroizing::new(String::with_capacity(side.saturating_mul(side).saturating_mul(2).saturating_add(4096)));
    for y in (0..side).step_by(2) {
        drawn.push_str("\u{1b}[38;5;231;48;5;16m");
        for x in 0..side {
            drawn.push(match (code.is_dark(x, y), code.is_dark(x, y.saturating_add(1))) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        drawn.push_str("\u{1b}[0m\n");
    }
    Ok(drawn)
}

/// Draws the code as an SVG document, black on white, without any reference to the outside.
///
/// # Errors
/// [`QrError::TooLong`] past what a QR code holds.
pub fn qr_svg(text: &str) -> Result<Zeroizing<String>, QrError> {
    let code = Code::new(text)?;
    let side = code.side();
    let pixels = side.saturating_mul(MODULE_PIXELS);
    let mut svg =
        Zeroizing::new(String::with_capacity(side.saturating_mul(side).saturating_mul(16).saturating_add(4096)));
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{pixels}\" height=\"{pixels}\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"WireGuard configuration\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path fill=\"#000\" d=\""
    );
    for y in 0..side {
        for x in 0..side {
            if code.is_dark(x, y) {
                let _ = write!(svg, "M{x} {y}h1v1h-1z");
            }
        }
    }
    svg.push_str("\"/></svg>\n");
    Ok(svg)
}

/// A code with its quiet zone around it.
struct Code(QRCode);

impl Code {
    fn new(text: &str) -> Result<Self, QrError> {
        let too_long = || QrError::TooLong { bytes: text.len() };
        if text.len() > BYTES_MAX {
            return Err(too_long());
        }
        QRBuilder::new(text).ecl(ECL::L).build().map(Self).map_err(|_| too_long())
    }

    fn side(&self) -> usize {
        self.0.size.saturating_add(QUIET_ZONE_MODULES.saturating_mul(2))
    }

    /// Light outside the code, as the quiet zone is.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET_ZONE_MODULES).filter(|at| *at < self.0.size);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => self.0[y][x].value(),
            (None, _) | (_, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawings_show_the_same_code_with_a_quiet_zone() {
        let code = Code::new("[Interface]").unwrap();
        let drawn = qr_terminal("[Interface]").unwrap();
        let plain = drawn.replace("\u{1b}[38;5;231;48;5;16m", "").replace("\u{1b}[0m", "");
        let rows: Vec<Vec<char>> = plain.lines().map(|line| line.chars().collect()).collect();
        assert_eq!(rows.len(), code.side().div_ceil(2));
        for (y, x) in (0..code.side()).flat_map(|y| (0..code.side()).map(move |x| (y, x))) {
            let (upper, lower) = match rows[y / 2][x] {
                '█' => (false, false),
                '▀' => (false, true),
                '▄' => (true, false),
                ' ' => (true, true),
                other => panic!("unexpected {other:?}"),
            };
            assert_eq!(code.is_dark(x, y), if y % 2 == 0 { upper } else { lower }, "{x},{y}");
        }
        let svg = qr_svg("[Interface]").unwrap();
        let dark =
            (0..code.side()).flat_map(|y| (0..code.side()).map(move |x| (x, y))).filter(|(x, y)| code.is_dark(*x, *y));
        assert_eq!(svg.matches("h1v1h-1z").count(), dark.count());
        assert!(!code.is_dark(3, 3) && code.is_dark(4, 4), "the finder pattern starts after the quiet zone");
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_just_fits_is_drawn() {
        assert_eq!(qr_svg(&"x".repeat(BYTES_MAX + 1)).unwrap_err(), QrError::TooLong { bytes: BYTES_MAX + 1 });
        assert_eq!(qr_terminal(&"x".repeat(BYTES_MAX + 1)).unwrap_err(), QrError::TooLong { bytes: BYTES_MAX + 1 });
        assert!(qr_svg(&"x".repeat(BYTES_MAX)).is_ok());
    }

    /// What the portal's own encoder is compared with (`control-plane/server/assets/tests/qr.test.mjs`), as this library
    /// draws it: texts of several versions, each with its mask.
    #[test]
    fn the_examples_for_the_browser_are_drawn_by_this_library() {
        let texts =
            ["hello".to_owned(), "Doorward, 51820/udp. ".repeat(9), "ä€𝄞 [Peer]\n".repeat(24), "z".repeat(1_300)];
        let drawn = texts.map(|text| {
            let code = Code::new(&text).unwrap();
            let mask = code.0.mask.unwrap() as u8;
            let dark = |y: usize, x: usize| if code.0[y][x].value() { '1' } else { '0' };
            let row = |y: usize| (0..code.0.size).map(|x| dark(y, x)).collect::<String>();
            let rows: Vec<String> = (0..code.0.size).map(row).collect();
            format!("{text:?}\n{mask}\n{}\n", rows.join("\n"))
        });
        let examples = include_str!("../../control-plane/server/assets/tests/qr-examples.txt");
        assert!(examples == drawn.join("\n"), "the file should be:\n{}", drawn.join("\n"));
    }
}

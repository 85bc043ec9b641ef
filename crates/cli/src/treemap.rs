//! Sizes as a treemap (Shneiderman), squarified (Bruls, Huizing, van Wijk 2000), in SVG.

use indicatif::HumanBytes;
use std::path::Path;

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 800.0;

/// The narrowest rectangle with a name in it.
const NAMED: f64 = 40.0;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Svg,
    Html,
}

impl Form {
    /// Returns the form for the name of a file.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "svg" => Some(Self::Svg),
            "html" => Some(Self::Html),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Draws named sizes. The largest stands first.
pub(crate) fn draw(mut sizes: Vec<(String, u64)>, form: Form) -> String {
    sizes.retain(|(_, size)| *size > 0);
    sizes.sort_by(|(name, size), (other, than)| than.cmp(size).then_with(|| name.cmp(other)));
    let total: u64 = sizes.iter().map(|(_, size)| size).sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n"
    );
    for ((name, size), area) in sizes.iter().zip(areas(&sizes, total)) {
        let Area { x, y, width, height } = area;
        let (name, size) = (escape(name), HumanBytes(*size));
        svg.push_str(&format!(
            "<g><title>{name}: {size}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"#cfe2f3\" stroke=\"#fff\"/>"
        ));
        if width > NAMED && height > 14.0 {
            let (x, y) = (x + 3.0, y + 12.0);
            svg.push_str(&format!(
                "<svg x=\"0\" y=\"0\" width=\"{:.1}\" height=\"{HEIGHT}\"><text x=\"{x:.1}\" y=\"{y:.1}\">{name}</text></svg>",
                area.x + area.width
            ));
        }
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    match form {
        Form::Svg => svg,
        Form::Html => format!(
            "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>{count} packages, {sum}</title>\n<p>{count} packages, {sum}</p>\n{svg}",
            count = sizes.len(),
            sum = HumanBytes(total)
        ),
    }
}

/// Returns a rectangle for each size, all as square as possible.
#[allow(clippy::cast_precision_loss, reason = "a drawing need not be exact")]
fn areas(sizes: &[(String, u64)], total: u64) -> Vec<Area> {
    let scale = WIDTH * HEIGHT / (total.max(1) as f64);
    let sizes: Vec<f64> = sizes.iter().map(|(_, size)| *size as f64 * scale).collect();
    let (mut rest, mut free) = (sizes.as_slice(), Area { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT });
    let mut all = Vec::with_capacity(sizes.len());
    while !rest.is_empty() {
        let side = free.width.min(free.height).max(f64::MIN_POSITIVE);
        let worst = |row: &[f64]| {
            let (sum, first, last) = (row.iter().sum::<f64>(), row.first(), row.last());
            let ratio = |size: &f64| (side * side * size / (sum * sum)).max(sum * sum / (side * side * size));
            first.map_or(f64::INFINITY, ratio).max(last.map_or(f64::INFINITY, ratio))
        };
        let mut count = 1;
        while count < rest.len()
            && worst(rest.get(..=count).unwrap_or_default()) <= worst(rest.get(..count).unwrap_or_default())
        {
            count += 1;
        }
        let (row, next) = rest.split_at(count);
        let depth = row.iter().sum::<f64>() / side;
        let mut at = 0.0;
        for size in row {
            let length = size / depth.max(f64::MIN_POSITIVE);
            all.push(match free.width >= free.height {
                true => Area { x: free.x, y: free.y + at, width: depth, height: length },
                false => Area { x: free.x + at, y: free.y, width: length, height: depth },
            });
            at += length;
        }
        free = match free.width >= free.height {
            true => Area { x: free.x + depth, width: (free.width - depth).max(0.0), ..free },
            false => Area { y: free.y + depth, height: (free.height - depth).max(0.0), ..free },
        };
        rest = next;
    }
    all
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> Vec<(String, u64)> {
        [600, 600, 400, 300, 200, 200, 100].iter().enumerate().map(|(n, size)| (format!("p{n}"), *size)).collect()
    }

    /// The rectangles fill the drawing, each by its size.
    #[test]
    fn rectangles_have_the_sizes() {
        let areas = areas(&sizes(), 2400);
        for ((_, size), area) in sizes().iter().zip(&areas) {
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let expected = *size as f64 * WIDTH * HEIGHT / 2400.0;
            assert!((area.width * area.height - expected).abs() < 1.0);
            assert!(area.x + area.width <= WIDTH + 0.1 && area.y + area.height <= HEIGHT + 0.1);
            assert!(area.width / area.height < 4.0 && area.height / area.width < 4.0);
        }
    }

    #[test]
    fn names_are_text() {
        let svg = draw(vec![("a<b".to_owned(), 5), ("none".to_owned(), 0)], Form::Svg);
        assert!(svg.contains("<title>a&lt;b: 5 B</title>") && !svg.contains("none"), "{svg}");
        assert!(draw(sizes(), Form::Html).contains("<p>7 packages, 2.34 KiB</p>"));
        assert_eq!(Form::of(Path::new("x.png")), None);
    }
}

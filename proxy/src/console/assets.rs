//! The page's files, built into the binary from `console/dist`.

use http::{HeaderValue, Response, StatusCode, header};

use super::answer::{self, Answer};

/// Name, kind and bytes.
const ASSETS: [(&str, &str, &[u8]); 5] = [
    ("", "text/html; charset=utf-8", include_bytes!("../../../console/dist/index.html")),
    ("console.js", "text/javascript; charset=utf-8", include_bytes!("../../../console/dist/console.js")),
    ("auditor.js", "text/javascript; charset=utf-8", include_bytes!("../../../console/dist/auditor.js")),
    ("style.css", "text/css; charset=utf-8", include_bytes!("../../../console/dist/style.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("../../../console/dist/icon.svg")),
];

/// A file of the page. It holds no data, and is asked for anew, so that page and data are of one version.
pub(super) fn answer(name: &str) -> Answer {
    let Some((_, kind, bytes)) = ASSETS.into_iter().find(|(known, _, _)| *known == name) else {
        return answer::problem(StatusCode::NOT_FOUND, "not here");
    };
    let mut answer = Response::new(answer::whole(bytes));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer::guard(&mut answer);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_weighs_less_than_150_kilobytes() {
        let bytes: usize = ASSETS.iter().map(|(_, _, bytes)| bytes.len()).sum();
        assert!(bytes < 150_000, "{bytes}");
    }
}

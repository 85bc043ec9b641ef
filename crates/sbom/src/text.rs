//! The form of a document, and sentences that the formats share.

/// Returns a document as indented JSON with a final line break.
pub(crate) fn pretty(document: &impl serde::Serialize) -> String {
    // Strings, numbers, lists, and maps with text as keys can always be written as JSON.
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}

/// Returns the sentence that replaces the text of a licence, and says where that text is.
pub(crate) fn licence_text(path: &str) -> String {
    format!("The licence of this package is stated in the file {path}, which the package installs.")
}

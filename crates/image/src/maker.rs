//! stub
#![allow(missing_docs)]
pub struct Options<'o> {
    pub tar: crate::tar::Options<'o>,
    pub programs: &'o [std::path::PathBuf],
    pub cancel: &'o std::sync::atomic::AtomicBool,
    pub size: Option<u64>,
    pub label: Option<&'o str>,
}

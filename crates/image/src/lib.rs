//! One reproducible artefact from a root.

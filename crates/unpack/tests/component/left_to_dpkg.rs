//! What the direct way does not decide: the package is handed back with the reason.

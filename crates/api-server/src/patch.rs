//! JSON patch and merge patch.

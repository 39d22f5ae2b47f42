//! Home of the black-box tests in `tests/`; there is no library here.

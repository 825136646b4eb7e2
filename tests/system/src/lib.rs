//! Nothing here but the tests beside it, in `tests/`, and the Python clients they run, in `clients/`.

#![forbid(unsafe_code)]

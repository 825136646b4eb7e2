//! chapada-isolation


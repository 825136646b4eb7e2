//! Definitions from outside: what real ones look like, what is refused and where, and that nothing else can go wrong.

mod property;
mod rules;
mod suite;

//! Why instances wait: planted causes are found, and what is said to help does.

mod bed;
mod helps;
mod plans;
mod planted;
mod unheard;
mod volumes;

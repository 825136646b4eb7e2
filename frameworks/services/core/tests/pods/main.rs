//! Pods: what is accepted as one, and how their instances live.

mod definitions;
mod histories;
mod launch;
mod life;
mod rules;
mod support;
mod terminations;

//! Images from registries and files: a real `docker-registry` with images that `umoci` built, and a scripted one that plays
//! the registries one would rather not meet. Root is needed, for owners and deletions.

#[cfg(test)]
mod artifacts;
#[cfg(test)]
mod debian;
#[cfg(test)]
mod files;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod pulls;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod scripted;

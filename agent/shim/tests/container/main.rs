//! Containers on the real kernel. Needs root; leaves nothing behind, and asserts that.

#[cfg(test)]
mod ahead;
#[cfg(test)]
mod attached;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod confinement;
#[cfg(test)]
mod images;
#[cfg(test)]
mod joined;
#[cfg(test)]
mod life;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod outliving;
#[cfg(test)]
mod place;
#[cfg(test)]
mod root;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod userns;
#[cfg(test)]
mod users;
#[cfg(test)]
mod volumes;
#[cfg(test)]
mod within;

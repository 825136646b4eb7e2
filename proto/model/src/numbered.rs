//! Enumerations whose numbers and names are part of the API.

/// A number or name that stands for nothing known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} has no value {value}")]
pub struct UnknownNumber {
    /// The enumeration.
    pub kind: &'static str,
    /// What was given.
    pub value: String,
}

/// Makes an enumeration with the API's numbers and names beside each other.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant = $number),+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number on the wire.
            pub fn number(self) -> i32 {
                self as i32
            }

            /// The name in JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value with this name; `None` when there is none.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl TryFrom<i32> for $name {
            type Error = $crate::UnknownNumber;
            fn try_from(number: i32) -> Result<Self, $crate::UnknownNumber> {
                match number {
                    $($number => Ok(Self::$variant),)+
                    other => Err($crate::UnknownNumber { kind: stringify!($name), value: other.to_string() }),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use numbered;

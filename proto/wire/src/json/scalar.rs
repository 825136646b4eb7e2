//! The scalar types: what JSON values each accepts, and how each is written.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::write::{display, string};

/// Standard base64; padding is written, and not insisted on.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A scalar field's type. Each conversion gives nothing when the value does not suit.
pub(crate) trait Scalar: Sized {
    /// For the error message.
    const EXPECTED: &'static str;

    fn from_bool(_: bool) -> Option<Self> {
        None
    }
    fn from_unsigned(_: u64) -> Option<Self> {
        None
    }
    fn from_signed(_: i64) -> Option<Self> {
        None
    }
    fn from_float(_: f64) -> Option<Self> {
        None
    }
    fn from_text(text: &str) -> Option<Self>;

    fn write(&self, out: &mut Vec<u8>);
}

impl Scalar for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

/// 2^53: above it a float no longer holds every integer, so one written as a float is not to be trusted.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

macro_rules! integer {
    ($type:ty, $expected:literal) => {
        impl Scalar for $type {
            const EXPECTED: &'static str = $expected;

            fn from_unsigned(value: u64) -> Option<Self> {
                value.try_into().ok()
            }

            fn from_signed(value: i64) -> Option<Self> {
                value.try_into().ok()
            }

            fn from_float(value: f64) -> Option<Self> {
                let whole = value.fract() == 0.0 && value.abs() <= LARGEST_EXACT;
                if whole { (value as i64).try_into().ok() } else { None }
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn write(&self, out: &mut Vec<u8>) {
                display(self, out);
            }
        }
    };
}

integer!(i32, "a whole number of 32 bits");
integer!(i64, "a whole number of 64 bits");
integer!(u32, "a whole number of 32 bits that is not negative");
integer!(u64, "a whole number of 64 bits that is not negative");

impl Scalar for f64 {
    const EXPECTED: &'static str = "a number";

    fn from_unsigned(value: u64) -> Option<Self> {
        Some(value as Self)
    }

    fn from_signed(value: i64) -> Option<Self> {
        Some(value as Self)
    }

    fn from_float(value: f64) -> Option<Self> {
        Some(value)
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self, out: &mut Vec<u8>) {
        if self.is_finite() {
            display(self, out);
        } else if self.is_nan() {
            out.extend_from_slice(b"\"NaN\"");
        } else {
            out.extend_from_slice(if *self > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
        }
    }
}

impl Scalar for f32 {
    const EXPECTED: &'static str = "a number";

    fn from_unsigned(value: u64) -> Option<Self> {
        Some(value as Self)
    }

    fn from_signed(value: i64) -> Option<Self> {
        Some(value as Self)
    }

    fn from_float(value: f64) -> Option<Self> {
        Some(value as Self)
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn write(&self, out: &mut Vec<u8>) {
        f64::from(*self).write(out);
    }
}

impl Scalar for String {
    const EXPECTED: &'static str = "a string";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn write(&self, out: &mut Vec<u8>) {
        string(self, out);
    }
}

impl Scalar for Vec<u8> {
    const EXPECTED: &'static str = "a string in base64";

    fn from_text(text: &str) -> Option<Self> {
        BASE64.decode(text).ok()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'"');
        let start = out.len();
        // A bound on the length for any input that fits in memory.
        let room = self.len().div_ceil(3) * 4;
        out.resize(start + room, 0);
        let written = BASE64.encode_slice(self, &mut out[start..]).expect("the room is what base64 takes");
        out.truncate(start + written);
        out.push(b'"');
    }
}

//! What an error says to people.

use std::error::Error;

/// An error and what it comes from, in one line. What a cause says that its effect has said already is not said again.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Said {
        said: &'static str,
        #[source]
        cause: Option<Box<Said>>,
    }

    #[test]
    fn each_cause_is_said_once() {
        let said = |said, cause| Said { said, cause };
        let refused = || said("connection refused", None);
        let repeats = said("cannot connect: connection refused", Some(Box::new(refused())));
        assert_eq!(chain(&repeats), "cannot connect: connection refused");
        let relay = said("the relay broke", Some(Box::new(repeats)));
        assert_eq!(chain(&relay), "the relay broke: cannot connect: connection refused");
        assert_eq!(chain(&refused()), "connection refused");
    }
}

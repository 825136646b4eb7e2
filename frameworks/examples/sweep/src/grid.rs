//! The points of a grid.

use std::str::FromStr;

/// More points than anyone wants to wait for; a mistyped list makes them quickly.
const MAX_POINTS: usize = 100_000;

/// A parameter and the values it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) values: Vec<String>,
}

/// One value for each parameter, in the order in which the parameters were given.
pub(crate) type Point = Vec<(String, String)>;

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, values) = text.split_once('=').ok_or("write NAME=VALUE,VALUE,…")?;
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(legal) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("{name:?} cannot be the name of an environment variable"));
        }
        Ok(Self { name: name.to_owned(), values: values.split(',').map(str::to_owned).collect() })
    }
}

/// Every combination; the last parameter changes fastest.
pub(crate) fn points(parameters: &[Parameter]) -> anyhow::Result<Vec<Point>> {
    for (index, parameter) in parameters.iter().enumerate() {
        let again = parameters.iter().take(index).any(|other| other.name == parameter.name);
        anyhow::ensure!(
            !again,
            "parameter {} is there twice: put all values into one --param",
            parameter.name
        );
    }
    let count = parameters.iter().try_fold(1_usize, |count, p| count.checked_mul(p.values.len()));
    anyhow::ensure!(
        count.is_some_and(|count| count <= MAX_POINTS),
        "the grid has more than {MAX_POINTS} points: give fewer values"
    );
    Ok(parameters.iter().fold(vec![Point::new()], |points, parameter| {
        let with = |point: &Point, value: &String| {
            let mut point = point.clone();
            point.push((parameter.name.clone(), value.clone()));
            point
        };
        points.iter().flat_map(|point| parameter.values.iter().map(move |value| with(point, value))).collect()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(text: &str) -> Parameter {
        text.parse().expect("a parameter")
    }

    #[test]
    fn every_combination_once_in_order() {
        let points = points(&[parameter("a=1,2"), parameter("b=x,y,z")]).expect("six points");
        let shown: Vec<String> = points.iter().map(|point| format!("{}{}", point[0].1, point[1].1)).collect();
        assert_eq!(shown, ["1x", "1y", "1z", "2x", "2y", "2z"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert!("a".parse::<Parameter>().is_err());
        assert!("1a=2".parse::<Parameter>().is_err_and(|error| error.contains("environment")));
        let twice = points(&[parameter("a=1"), parameter("a=2")]).expect_err("twice").to_string();
        assert!(twice.contains("twice"), "{twice}");
        let large = format!("a={}", vec!["1"; 1_000].join(","));
        let large = [parameter(&large), Parameter { name: "b".to_owned(), ..parameter(&large) }];
        assert!(points(&large).is_err());
    }
}

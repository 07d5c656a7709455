//! `${NAME}` and `${NAME:-default}` in strings of the config.

/// Why a string could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The variable is not set and there is no default.
    Missing(String),
    /// `${` without `}`.
    Unclosed,
    /// What stands in the braces is no variable's name.
    Misnamed(String),
}

/// Where variables come from.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Whether there is anything to fill in.
pub fn has_variable(text: &str) -> bool {
    text.contains("${")
}

/// Fills in every variable. As in a shell, `:-` also stands in for an empty one, and what is filled in is not looked
/// at again. Every gap is reported.
pub fn fill(text: &str, lookup: Lookup<'_>) -> Result<String, Vec<Gap>> {
    let (mut filled, mut gaps, mut rest) = (String::with_capacity(text.len()), Vec::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let Some((inside, behind)) = after.split_once('}') else {
            gaps.push(Gap::Unclosed);
            return Err(gaps);
        };
        match variable(inside, lookup) {
            Ok(value) => filled.push_str(&value),
            Err(gap) => gaps.push(gap),
        }
        rest = behind;
    }
    filled.push_str(rest);
    if gaps.is_empty() { Ok(filled) } else { Err(gaps) }
}

fn variable(inside: &str, lookup: Lookup<'_>) -> Result<String, Gap> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err(Gap::Misnamed(name.to_owned()));
    }
    match (lookup(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Gap::Missing(name.to_owned())),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, Vec<Gap>> {
        fill(text, &|name| match name {
            "HOST" => Some("kafka.local".to_owned()),
            "EMPTY" => Some(String::new()),
            "SLY" => Some("${HOST}".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn variables_and_defaults_are_filled_in() {
        assert_eq!(filled("${HOST}:9092").as_deref(), Ok("kafka.local:9092"));
        assert_eq!(filled("${NOT:-a}${HOST:-b}${EMPTY:-c}${EMPTY}").as_deref(), Ok("akafka.localc"));
        assert_eq!(filled("${NOT:-}").as_deref(), Ok(""));
        assert_eq!(filled("^a.*$ {x} $HOST").as_deref(), Ok("^a.*$ {x} $HOST"));
        assert_eq!(filled("${SLY}").as_deref(), Ok("${HOST}"));
    }

    #[test]
    fn every_gap_is_named() {
        let missing = |name: &str| Gap::Missing(name.to_owned());
        assert_eq!(filled("${A}-${B}-${HOST}"), Err(vec![missing("A"), missing("B")]));
        assert_eq!(filled("${HOST"), Err(vec![Gap::Unclosed]));
        assert_eq!(filled("${}"), Err(vec![Gap::Misnamed(String::new())]));
        assert_eq!(filled("${1A:-x}"), Err(vec![Gap::Misnamed("1A".to_owned())]));
    }
}

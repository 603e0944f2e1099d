//! Numbers as people write them become E.164.

use phonenumber::country;
use phonenumber::metadata::DATABASE;

use crate::base::ids::Number;

/// A region, such as `DE`, whose spelling of numbers is known.
pub fn region(text: &str) -> Option<country::Id> {
    let upper = text.to_ascii_uppercase();
    upper.parse().ok().filter(|_| DATABASE.by_id(&upper).is_some())
}

/// Reads a number: with `+` in front as it stands, else as it is written in `region`.
///
/// # Errors
/// What is wrong, for people.
pub fn e164(text: &str, region: Option<country::Id>) -> Result<Number, String> {
    let text = text.trim();
    if text.starts_with('+') {
        // Whatever stands between the digits; "(0)" is no digit of an international number.
        let bare: String = text.replace("(0)", "").chars().filter(|c| !" -./()\u{a0}".contains(*c)).collect();
        return Number::parse(&bare).map_err(|_| "This must be a number such as +15550001000.".to_owned());
    }
    let Some(region) = region else {
        return Err("This must begin with '+', or the import must name its region.".to_owned());
    };
    let wrong = || format!("This is no telephone number of {region:?}.");
    // The parser is only for what can be a number at all: it looks for one anywhere in a text.
    if !text.chars().all(|c| c.is_ascii_digit() || " -./()\u{a0}".contains(c)) {
        return Err(wrong());
    }
    let number = phonenumber::parse(Some(region), text).map_err(|_| wrong())?;
    // The form of the country's numbers, not whether somebody has such a one: that changes every week.
    let national = number.national().to_string();
    let countries = DATABASE.by_code(&number.country().code()).unwrap_or_default();
    let fits = countries.iter().any(|country| country.descriptors().general().is_match(&national));
    let text = number.format().mode(phonenumber::Mode::E164).to_string();
    Number::parse(&text).ok().filter(|_| fits).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_many_spellings() {
        for (written, in_region, expected) in [
            ("+15557770001", "", Some("+15557770001")),
            (" +1 (555) 777-0001 ", "", Some("+15557770001")),
            ("+49 (0)30 123456", "DE", Some("+4930123456")),
            ("030 / 12 34 56", "DE", Some("+4930123456")),
            ("0049 30 123456", "de", Some("+4930123456")),
            ("(555) 777-0001", "US", Some("+15557770001")),
            ("1-555-777-0001", "US", Some("+15557770001")),
            ("020 7946 0018", "GB", Some("+442079460018")),
            ("06 1234 5678", "IT", Some("+390612345678")),
            ("030123456", "", None),
            ("12", "DE", None),
            ("0", "DE", None),
            ("555", "US", None),
            ("call me", "US", None),
            ("030 123456 ext. 7", "DE", None),
            ("+49 30 x", "DE", None),
            ("+", "DE", None),
            ("", "DE", None),
            ("٠١٢٣٤٥٦٧٨٩", "US", None),
        ] {
            let found = e164(written, region(in_region));
            assert_eq!(found.ok().map(|n| n.to_string()).as_deref(), expected, "{written} in {in_region}");
        }
    }

    #[test]
    fn regions_are_known_ones() {
        assert!(region("de").is_some() && region("US").is_some());
        assert!(region("XX").is_none() && region("").is_none() && region("Germany").is_none());
    }
}

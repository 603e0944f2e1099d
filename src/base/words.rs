//! Enums that are one word each in the database and in JSON: the word is written once.

/// Makes an enum whose variants are words: `as_str`, `parse`, `WORDS`, and serde with the same words.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word, in the order of the variants.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word kept in the database and shown in JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// Reads the word.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    #![expect(unreachable_pub, reason = "the macro makes public enums")]

    words! {
        /// Two words.
        pub enum Answer {
            /// Yes.
            Yes = "YES",
            /// No.
            NoAnswer = "NO ANSWER",
        }
    }

    #[test]
    fn a_word_is_the_same_everywhere() {
        assert_eq!(Answer::WORDS, ["YES", "NO ANSWER"]);
        for word in Answer::WORDS {
            let answer = Answer::parse(word).unwrap();
            assert_eq!((answer.as_str(), answer.to_string().as_str()), (*word, *word));
            assert_eq!(serde_json::to_value(answer).unwrap(), *word);
            assert_eq!(serde_json::from_value::<Answer>((*word).into()).unwrap(), answer);
        }
        assert_eq!(Answer::parse("yes"), None);
    }
}

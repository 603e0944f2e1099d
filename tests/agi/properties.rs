//! The fuzz targets' logic as properties.

use hookswitch::agi::fuzz;
use proptest::prelude::*;

/// Bytes that look like the protocol, so that the deep branches are reached.
fn protocol() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "200 result=",
            "200 result=1 (",
            "1",
            "-1",
            " (timeout)",
            ")",
            "(",
            " endpos=17",
            "\n",
            "\n\n",
            "HANGUP\n",
            "100 result=0 Trying...\n",
            "510 Invalid\n",
            "511 Dead\n",
            "520-Usage\n",
            "520 End of proper usage.\n",
            "520 Usage\n",
            "agi_",
            "agi_network: yes\n",
            "agi_request: x\n",
            "503 result=-2\n",
            "0)\n",
            " ",
            "é",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Values that caller and trunk may choose.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(hookswitch::agi::environment::KEYS.to_vec())
            .prop_map(|key| format!("\nagi_{key}: x").into_bytes()),
        prop::sample::select(vec![
            "\n",
            "\n\n",
            "\nHANGUP",
            "\n200 result=1",
            "\n200 result=1 (",
            "\nagi_arg_1: x",
            "\n520-",
            "x"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn a_value_is_one_word_or_refused(value in any::<String>()) {
        fuzz::quoting(&value);
    }

    #[test]
    fn a_nasty_value_is_one_word_or_refused(value in r#"[ \t"\\'\n\r\x00a-c,$(){}]{0,40}"#) {
        fuzz::quoting(&value);
    }

    #[test]
    fn packets_make_no_difference(bytes in protocol(), pieces in prop::collection::vec(1_usize..9, 1..6)) {
        fuzz::packets(&bytes, &pieces);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz::packets(&bytes, &[3]);
    }

    #[test]
    fn forged_lines_are_found(key in any::<usize>(), value in hostile()) {
        fuzz::forgery(key, &value);
    }
}

/// The most patient forger: everything up to the blank line in the right order, for every key.
#[test]
fn a_complete_forgery_is_found() {
    let keys = hookswitch::agi::environment::KEYS;
    for start in 8..=20 {
        let rest: String = keys[start + 1..].iter().map(|key| format!("\nagi_{key}: x")).collect();
        for tail in ["", "\n", "\n\n", "\n\n200 result=1", "\n\n200 result=1 (", "\n\n520-x", "\n\nHANGUP"] {
            fuzz::forgery(start - 8, format!("5{rest}{tail}").as_bytes());
        }
    }
}

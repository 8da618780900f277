//! Plays every committed input through its target.

use std::path::Path;

use doorward_fuzz_targets::TARGETS;

#[test]
fn every_corpus_entry_is_refused_or_understood() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, target) in TARGETS {
        let mut inputs: Vec<_> =
            std::fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        inputs.sort();
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap();
            let played = std::panic::catch_unwind(|| target(&bytes));
            assert!(played.is_ok(), "{} breaks {name}; the panic above says how", input.display());
        }
    }
}

#[test]
fn every_corpus_has_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for entry in std::fs::read_dir(corpus).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "{name} is nobody's corpus");
    }
}

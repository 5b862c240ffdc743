//! Long runs of bytes without meaning, skipped many at a time.

/// Bytes looked at in one step: the compiler turns the loop over them into vector instructions.
const STEP: usize = 32;

/// How many bytes at the start do not stop the scan.
pub(super) fn until(bytes: &[u8], stops: impl Fn(u8) -> bool) -> usize {
    // Most runs are short: names, numbers, white space.
    let short = bytes.get(..STEP).unwrap_or(bytes);
    if let Some(at) = short.iter().position(|&byte| stops(byte)) {
        return at;
    }
    let mut passed = 0_usize;
    for step in bytes.chunks_exact(STEP) {
        if step.iter().fold(false, |stop, &byte| stop | stops(byte)) {
            break;
        }
        passed = passed.saturating_add(STEP);
    }
    let rest = bytes.get(passed..).unwrap_or_default();
    passed.saturating_add(rest.iter().position(|&byte| stops(byte)).unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stop_is_found_wherever_it_is() {
        for length in 0..200_usize {
            let mut bytes = vec![b'a'; length];
            assert_eq!(until(&bytes, |byte| byte == b'"'), length);
            for at in 0..length {
                bytes[at] = b'"';
                assert_eq!(until(&bytes, |byte| byte == b'"'), at);
                bytes[at] = b'a';
            }
        }
    }
}

//! Files with the certificates of authorities.

use super::file::FilePath;
use super::read::{At, Reader, Step};
use crate::certificate::Certificates;

/// Reads the file that a key names. `None` after a problem was reported.
pub(super) fn read(
    written: &At<FilePath>,
    key: &'static str,
    reader: &mut Reader<'_>,
) -> Option<Certificates> {
    let path = &written.value.0;
    match reader.world().authorities(path) {
        Ok(certificates) => Some(certificates),
        Err(reason) => {
            reader.inside(Step::Key(key), |reader| {
                let hint =
                    "name a file with certificates in PEM; a relative path starts at the main file's folder";
                reader.error(written.at, format!("the file `{path}` {reason}"), Some(hint.into()));
            });
            None
        }
    }
}

//! How many clients may be connected, how slow they may be, and what of that fits into the process.

use super::file::ConnectionsEntry;
use super::read::{At, Reader, Step};
use crate::progress::Floor;
use core::num::NonZeroU32;
use core::time::Duration;

/// Files that a process has open besides those of connections: listeners, logs, the admin socket, watches.
const OTHER_FILES: u64 = 256;
/// Files of one connection: its own and that of the backend which serves it.
const FILES_PER_CONNECTION: u64 = 2;

/// How many clients may be connected at once, and how slow they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Connections in all.
    pub max: u32,
    /// Connections of one client.
    pub max_per_client: u32,
    /// For a TLS handshake, and for the head of a request from its first byte to its last.
    pub head_timeout: Duration,
    /// For the first byte of a request on an open connection.
    pub idle_timeout: Duration,
    /// For bodies, either way.
    pub floor: Floor,
}

impl Connections {
    /// Open files that all connections together may need.
    #[must_use]
    pub fn files_needed(&self) -> u64 {
        u64::from(self.max).saturating_mul(FILES_PER_CONNECTION).saturating_add(OTHER_FILES)
    }

    /// Connections that are taken by a process that may have so many files open: no more than leave one for a backend
    /// to each. A gateway that accepts to its last file serves nobody.
    #[must_use]
    pub fn that_fit(&self, files_max: u64) -> u32 {
        let other = OTHER_FILES.min(files_max / 4);
        let fit = files_max.saturating_sub(other) / FILES_PER_CONNECTION;
        u32::try_from(fit).unwrap_or(u32::MAX).clamp(1, self.max.max(1))
    }
}

/// Connections in all where nothing is written.
const DEFAULT_MAX: u32 = 50_000;

/// The meaning of the section, and a warning where the machine gives less than it asks for.
pub(super) fn check(written: ConnectionsEntry, reader: &mut Reader<'_>) -> Connections {
    let max = written.max.as_ref().map_or(DEFAULT_MAX, |max| max.value.0);
    let connections = Connections {
        max,
        max_per_client: written.max_per_client.0,
        head_timeout: written.head_timeout.0,
        idle_timeout: written.idle_timeout.0,
        floor: Floor {
            bytes_per_second_min: NonZeroU32::new(written.bytes_per_second_min.0).unwrap_or(NonZeroU32::MIN),
            patience: written.patience.0,
        },
    };
    let needed = connections.files_needed();
    let files_max = reader.world().open_files_max().filter(|files_max| *files_max < needed);
    if let Some((At { at, .. }, files_max)) = written.max.zip(files_max) {
        let fit = connections.that_fit(files_max);
        let message = format!(
            "{} connections may need {needed} open files and this process may have {files_max}; it takes {fit} connections",
            connections.max
        );
        let hint =
            "raise the hard limit of open files (`LimitNOFILE` of systemd, `ulimit -Hn`), or lower it here";
        reader.inside(Step::Key("connections"), |reader| {
            reader.inside(Step::Key("max"), |reader| reader.warning(at, message, Some(hint.into())));
        });
    }
    connections
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MAIN, World, config};
    use super::super::{MainFile, Severity};
    use super::*;

    #[test]
    fn each_connection_that_is_taken_leaves_a_file_for_its_backend() {
        let written = config(MAIN, &[("t.yaml", "- { id: acme, hosts: [acme.test] }")]).process.connections;
        let connections = Connections { max: 1_000, ..written };
        assert_eq!(connections.that_fit(connections.files_needed()), 1_000);
        assert_eq!(connections.that_fit(u64::MAX), 1_000);
        assert_eq!(connections.that_fit(1_024), 384);
        assert_eq!(connections.that_fit(256), 96);
        assert_eq!(connections.that_fit(0), 1);
    }

    #[test]
    fn a_cap_that_the_machine_cannot_hold_is_a_warning_where_it_is_written() {
        let text = format!("{MAIN}connections: {{ max: 5000 }}\n");
        for (text, files_max, warned) in [
            (&*text, Some(1_024), true),
            (&*text, Some(10_256), false),
            (&*text, None, false),
            (MAIN, Some(1_024), false),
        ] {
            let world = World { open_files_max: files_max, ..World::default() };
            let (_, problems) = MainFile::parse("fleetgate.yaml", text, &world, 1);
            let warnings: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(!warnings.is_empty(), warned, "{warnings:?}");
            assert!(problems.iter().all(|problem| problem.severity == Severity::Warning));
            assert!(
                warnings
                    .iter()
                    .all(|warning| warning.contains("connections.max: 5000 connections may need 10256"))
            );
        }
    }

    #[test]
    fn what_is_left_out_lets_an_office_behind_one_address_in() {
        let process = config(MAIN, &[("t.yaml", "- { id: acme, hosts: [acme.test] }")]).process;
        assert_eq!((process.connections.max, process.connections.max_per_client), (50_000, 2_000));
    }
}

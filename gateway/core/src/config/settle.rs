//! Which revision of each file is served when some of them are bad.
//!
//! The rule: a change that is bad is not made, and nothing else suffers from it. A file that cannot be read
//! keeps its last good revision. Of two files that claim the same, the one that changed keeps its last good
//! revision. A main file that does not fit the files as they were keeps its own. Only a file that never was
//! good is served in part: its entries without a problem. If
//! it was there at the start, hosts of its other entries are held back from stars.

use super::compile::{Finding, Source, compile_files, config_of};
use super::main_file::MainFile;
use super::model::GatewayConfig;
use super::problem::{Problem, note};
use super::tenants::TenantFile;
use std::sync::Arc;

/// What is known about one file.
#[derive(Debug)]
pub struct Revisions<T> {
    /// As it is now. `None`: it cannot be read at all.
    pub new: Option<Arc<T>>,
    /// As it was when all of it was last served. The same `Arc` as `new` when nothing changed.
    pub last_good: Option<Arc<T>>,
    /// The file was there when the process started. Nobody knows then what was served before, so a host that it
    /// names and that cannot be served is not left to a star, whose database may be another.
    pub from_start: bool,
}

impl<T> Revisions<T> {
    fn changed(&self) -> bool {
        match (&self.new, &self.last_good) {
            (Some(new), Some(last_good)) => !Arc::ptr_eq(new, last_good),
            _ => true,
        }
    }
}

/// What is served of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// All of it, as it is now.
    New,
    /// The entries without a problem, as the file never was good.
    Partly,
    /// Its last good revision.
    LastGood,
    /// Nothing.
    Nothing,
}

/// A config that can be served, and what it was made of.
#[derive(Debug)]
pub struct Settled {
    /// The config.
    pub config: GatewayConfig,
    /// What is served of the main file.
    pub main: Running,
    /// What is served of each file, in the order they were given.
    pub files: Vec<Running>,
    /// Problems between the files.
    pub problems: Vec<Problem>,
}

/// Chooses revisions.
///
/// # Errors
/// The problems between the files, when no revision of the main file can be served.
pub fn settle(main: &Revisions<MainFile>, files: &[Revisions<TenantFile>]) -> Result<Settled, Vec<Problem>> {
    let mut problems = Vec::new();
    let new_main = main.new.as_ref().filter(|main| main.is_sound());
    let attempts = [(new_main, Running::New), (main.last_good.as_ref(), Running::LastGood)];
    for (revision, running) in attempts {
        let Some(revision) = revision else { continue };
        let may_give_way = running == Running::New && main.changed() && main.last_good.is_some();
        if let Some((config, files)) = settle_files(revision, files, may_give_way, &mut problems) {
            return Ok(Settled { config, main: running, files, problems });
        }
    }
    Err(problems)
}

/// The config and the revisions of the files for one revision of the main file; `None` when that is at fault.
fn settle_files(
    main: &MainFile,
    files: &[Revisions<TenantFile>],
    main_may_give_way: bool,
    problems: &mut Vec<Problem>,
) -> Option<(GatewayConfig, Vec<Running>)> {
    let mut choices: Vec<Running> = files.iter().map(first_choice).collect();
    loop {
        let order = order(files, &choices);
        let chosen: Vec<Source<'_>> = order
            .iter()
            .filter_map(|&index| {
                let file = files.get(index)?;
                let hold = file.from_start && file.last_good.is_none();
                Some(Source { file: revision(file, *choices.get(index)?)?, hold })
            })
            .collect();
        let (fleet, findings) = compile_files(main, &chosen);
        let round = Round { files, choices: &choices, order: &order, main_may_give_way };
        let mut gives_way = Vec::new();
        let mut in_part = Vec::new();
        let mut main_at_fault = false;
        for finding in findings.iter().filter(|finding| finding.problem.is_error()) {
            match round.blame(finding) {
                Blame::Main => main_at_fault = true,
                Blame::File(index) => gives_way.push(index),
                Blame::Entry(index) => in_part.push(index),
            }
        }
        for Finding { problem, .. } in findings {
            note(problems, problem);
        }
        if main_at_fault {
            return None;
        }
        if gives_way.is_empty() {
            for index in in_part {
                if let Some(choice) = choices.get_mut(index) {
                    *choice = Running::Partly;
                }
            }
            return Some((config_of(main, fleet)?, choices));
        }
        // At least one file goes from new to last good, which it never leaves, so the loop ends.
        for index in gives_way {
            if let Some(choice) = choices.get_mut(index) {
                *choice = Running::LastGood;
            }
        }
    }
}

fn first_choice(file: &Revisions<TenantFile>) -> Running {
    match (&file.new, &file.last_good) {
        (Some(new), _) if new.is_sound() => Running::New,
        (_, Some(_)) => Running::LastGood,
        (Some(new), None) if !new.is_empty() => Running::Partly,
        (_, None) => Running::Nothing,
    }
}

fn revision(file: &Revisions<TenantFile>, choice: Running) -> Option<&Arc<TenantFile>> {
    match choice {
        // Of a file that gives nothing, the hosts that it mentions still count.
        Running::New | Running::Partly | Running::Nothing => file.new.as_ref(),
        Running::LastGood => file.last_good.as_ref(),
    }
}

/// Files in the order in which they may claim hosts and ids: what was served before comes first.
fn order(files: &[Revisions<TenantFile>], choices: &[Running]) -> Vec<usize> {
    let mut order: Vec<(u8, usize)> = files
        .iter()
        .zip(choices)
        .enumerate()
        .filter(|(_, (file, choice))| revision(file, **choice).is_some())
        .map(|(index, (file, choice))| {
            let rank = match choice {
                Running::LastGood => 0,
                _ if !file.changed() => 0,
                _ if file.last_good.is_some() => 1,
                Running::New | Running::Partly | Running::Nothing => 2,
            };
            (rank, index)
        })
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index).collect()
}

/// Who has to change for a finding to go away.
enum Blame {
    /// The main file goes back to its last good revision, or cannot be used.
    Main,
    /// The file goes back to its last good revision.
    File(usize),
    /// Nobody can go back: the entry is left out.
    Entry(usize),
}

struct Round<'a> {
    files: &'a [Revisions<TenantFile>],
    choices: &'a [Running],
    order: &'a [usize],
    main_may_give_way: bool,
}

impl Round<'_> {
    fn blame(&self, finding: &Finding) -> Blame {
        let Some(loser) = self.file_of(finding.source) else { return Blame::Main };
        let other = finding.other.and_then(|source| self.file_of(source));
        let other_can_go_back = other.filter(|&other| self.can_go_back(other));
        if self.can_go_back(loser) {
            return match other_can_go_back {
                Some(other) if self.had_before(loser, finding) && !self.had_before(other, finding) => {
                    Blame::File(other)
                }
                _ => Blame::File(loser),
            };
        }
        match other_can_go_back {
            Some(other) if self.was_served(loser) => Blame::File(other),
            _ if self.was_served(loser) && self.main_may_give_way => Blame::Main,
            _ => Blame::Entry(loser),
        }
    }

    /// Place among the given files of a source of the compilation; `None` for the main file.
    fn file_of(&self, source: usize) -> Option<usize> {
        self.order.get(source.checked_sub(1)?).copied()
    }

    fn can_go_back(&self, index: usize) -> bool {
        let file = self.files.get(index);
        self.choices.get(index) == Some(&Running::New)
            && file.is_some_and(|file| file.last_good.is_some() && file.changed())
    }

    fn was_served(&self, index: usize) -> bool {
        self.files.get(index).is_some_and(|file| file.last_good.is_some())
    }

    fn had_before(&self, index: usize, finding: &Finding) -> bool {
        let last_good = self.files.get(index).and_then(|file| file.last_good.as_ref());
        finding.host.as_ref().zip(last_good).is_some_and(|(host, last_good)| last_good.claims(host))
    }
}
